"""The two files of an adapter's folder, under the names that peft reads: adapter_model.safetensors and adapter_config.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

TENSORS, FIELDS = "adapter_model.safetensors", "adapter_config.json"


def write_adapter(own: Mapping[str, Tensor], fields: Mapping[str, Any], directory: Path) -> None:
    """Write an adapter's tensors and settings into `directory`, creating it; the same tensors give the same bytes."""
    from safetensors.torch import save_file

    directory.mkdir(parents=True, exist_ok=True)
    contiguous = {name: own[name].detach().contiguous() for name in sorted(own)}
    save_file(contiguous, directory / TENSORS, metadata={"format": "pt"})
    (directory / FIELDS).write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_tensors(directory: Path) -> dict[str, Tensor]:
    """Return the tensors of an adapter's folder."""
    from safetensors.torch import load_file

    return load_file(directory / TENSORS)


def prompt_fields(kind: str, length: int) -> dict[str, Any]:
    """Return the fields of a learned prefix; peft takes the model's sizes from the model."""
    return {
        "peft_type": kind,
        "task_type": "CAUSAL_LM",
        "num_virtual_tokens": length,
        "num_transformer_submodules": 1,
        "num_layers": None,
        "num_attention_heads": None,
        "token_dim": None,
        "inference_mode": True,
    }
