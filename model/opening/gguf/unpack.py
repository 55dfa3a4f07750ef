"""A GGUF file written as a Hugging Face directory, in fp32."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from data.shards.model_folder import naming
from model.networks.base import ModelError
from model.networks.directory import CONFIG, WEIGHTS, parse_fields
from model.opening.gguf.metadata import WAVES, GgufFile
from model.opening.gguf.tokenizer import write_tokenizer

if TYPE_CHECKING:
    from torch import Tensor

    from model.opening.gguf.header import StoredTensor


def read_tensors(file: GgufFile) -> dict[str, Tensor]:
    """Return all weights; ModelError for a type that can't be dequantized, or a tensor that the architecture has no place for.

    Memory: the model in fp32.
    """
    fields, found = file.config(), dict[str, "Tensor"]()
    for name, tensor in file.tensors.items():
        if name == WAVES or (name == "output.weight" and fields["tie_word_embeddings"]):
            continue
        weight, part = _dequantized(file, tensor), name.removeprefix("blk.").partition(".")[2]
        if part.rpartition(".")[0] in file.architecture.permuted:
            kv = part.startswith("attn_k")
            heads = fields.get("num_key_value_heads", fields["num_attention_heads"]) if kv else fields["num_attention_heads"]
            weight = unpermuted(weight, heads)
        if part in file.architecture.transposed:
            weight = weight.t()
        found[file.architecture.tensor_name(name)] = weight.contiguous()
    return found


def unpermuted(weight: Tensor, heads: int) -> Tensor:
    """Return the rows of queries or keys as transformers has them: llama.cpp stores each rotated pair side by side."""
    pairs = weight.shape[0] // heads // 2
    return weight.reshape(heads, pairs, 2, *weight.shape[1:]).transpose(1, 2).reshape(weight.shape)


def _dequantized(file: GgufFile, tensor: StoredTensor) -> Tensor:
    import numpy as np
    import torch
    from gguf.quants import dequantize

    try:
        values = dequantize(tensor.data, tensor.kind)
    except NotImplementedError:
        raise ModelError(
            f"{file.path}: {tensor.name} is of type {tensor.kind.name}, which can't be read; take a file in F16, BF16 or Q8_0"
        ) from None
    # A copy: the data is a view of the file.
    return torch.from_numpy(np.array(values, dtype=np.float32))


def unpack(path: Path, directory: Path) -> dict[str, str]:
    """Write the model in the file at `path` into `directory`; return what the file says of itself: name and licence, empty if nothing.

    Raise ModelError for a file that can't be read whole.
    """
    from safetensors.torch import save_file

    file = GgufFile(path)
    directory.mkdir(parents=True, exist_ok=True)
    fields = file.config()
    parse_fields(fields, path)  # what it describes is checked before its weights are read
    (directory / CONFIG).write_text(json.dumps(fields, indent=2, default=float) + "\n", encoding="utf-8")
    with naming(path):
        write_tokenizer(file, directory)
        save_file(read_tensors(file), directory / WEIGHTS, metadata={"format": "pt"})
    return {"name": str(file.get("general.name", "")), "licence": str(file.get("general.license", ""))}
