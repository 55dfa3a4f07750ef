"""The entry `quantization` of a model directory's config.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from model.networks.directory import CONFIG, ModelError


def read_quantization(directory: Path) -> dict[str, Any] | None:
    """Return the quantization entry of `config.json`; None for a model in full precision."""
    path = Path(directory) / CONFIG
    if not path.is_file():
        raise ModelError(f"{path} does not exist: {directory} is not a model directory")
    entry = json.loads(path.read_text(encoding="utf-8")).get("quantization")
    return None if entry is None else dict(entry)


def write_quantization(model_dir: Path, output: Path, entry: dict[str, Any], **more: Any) -> None:
    """Write config.json of a quantized model: `model_dir`'s with the entry and `more` fields added."""
    fields = json.loads((model_dir / CONFIG).read_text(encoding="utf-8"))
    fields |= {"quantization": entry, **more}
    (output / CONFIG).write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n", encoding="utf-8")
