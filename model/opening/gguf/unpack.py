"""A GGUF file written as a Hugging Face directory, in fp32."""

from __future__ import annotations

import json
from pathlib import Path

from model.networks.directory import CONFIG, WEIGHTS
from model.opening.gguf.metadata import GgufFile
from model.opening.gguf.tensors import read_tensors
from model.opening.gguf.tokenizer import write_tokenizer


def unpack(path: Path, directory: Path) -> dict[str, str]:
    """Write the model in the file at `path` into `directory`; return what the file says of itself: name and licence, empty if nothing.

    Raise ModelError for a file that can't be read whole.
    """
    from safetensors.torch import save_file

    file = GgufFile(path)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / CONFIG).write_text(json.dumps(file.config(), indent=2, default=float) + "\n", encoding="utf-8")
    write_tokenizer(file, directory)
    save_file(read_tensors(file), directory / WEIGHTS, metadata={"format": "pt"})
    return {"name": file.get("general.name", ""), "licence": file.get("general.license", "")}
