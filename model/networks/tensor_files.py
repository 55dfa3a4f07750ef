"""Files of safetensors, read and written a tensor at a time, so that a model larger than what is free is never held twice.

Tensors that are read stay mapped in their own precision: pages of the file, which the system may take back. Tensors that are written may be
made one by one (`LazyTensors`). The bytes are those that safetensors writes. Nothing is unpickled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from data.shards.durable import atomic_stream
from data.shards.model_folder import ModelError, naming, require_regular

if TYPE_CHECKING:
    import torch
    from torch import Tensor

HEADER_BYTES, MOST_TENSORS = 8 * 2**20, 20_000
"""Of one file of weights. Files of 5 GB have some hundreds of tensors, and each is looked up by its name in half a millisecond."""
ORDER = ("U64", "I64", "F64", "F32", "U32", "I32", "BF16", "F16", "U16", "I16", "I8", "U8", "BOOL")
"""Types as safetensors writes them: largest first, so that each tensor begins at a multiple of its numbers' size."""
NAMES = {
    "uint64": "U64", "int64": "I64", "float64": "F64", "float32": "F32", "uint32": "U32", "int32": "I32", "bfloat16": "BF16",
    "float16": "F16", "uint16": "U16", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip


class Lazy(NamedTuple):
    """A tensor that is made whenever it is asked for."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    make: Callable[[], Tensor]


class LazyTensors(Mapping[str, "Tensor"]):
    """Tensors by name, some of which are made when they are asked for, each time anew; whoever asks holds what it keeps."""

    def __init__(self, parts: Mapping[str, Tensor | Lazy]) -> None:
        self.parts: dict[str, Tensor | Lazy] = dict(parts.parts if isinstance(parts, LazyTensors) else parts)

    def __getitem__(self, name: str) -> Tensor:
        part = self.parts[name]
        return part.make() if isinstance(part, Lazy) else part

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def __or__(self, others: Mapping[str, Tensor]) -> LazyTensors:
        return LazyTensors(self.parts | LazyTensors(others).parts)

    @property
    def lazy(self) -> bool:
        """Whether any has to be made."""
        return any(isinstance(part, Lazy) for part in self.parts.values())

    def chosen(self, wanted: Callable[[str], bool]) -> LazyTensors:
        """Return those whose names are wanted."""
        return LazyTensors({name: part for name, part in self.parts.items() if wanted(name)})

    def rounded(self, dtype: torch.dtype) -> LazyTensors:
        """Return them on the CPU, floats as `dtype`; those that are so already are the same tensors."""

        def as_asked(name: str, part: Tensor | Lazy) -> Tensor | Lazy:
            kept = dtype if part.dtype.is_floating_point else part.dtype
            if not isinstance(part, Lazy) and part.dtype == kept and part.device.type == "cpu":
                return part.detach()
            return Lazy(tuple(part.shape), kept, lambda: self[name].detach().to("cpu", kept))

        return LazyTensors({name: as_asked(name, part) for name, part in self.parts.items()})


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a file of safetensors atomically, with the bytes of `safetensors.torch.save`, holding one tensor that is made at a time."""
    from torch import uint8

    parts = LazyTensors(tensors).parts
    kinds = {name: NAMES[str(part.dtype).removeprefix("torch.")] for name, part in parts.items()}
    names = sorted(parts, key=lambda name: (ORDER.index(kinds[name]), name))
    header: dict[str, object] = {} if metadata is None else {"__metadata__": dict(metadata)}
    end = 0
    for name in names:
        start, end = end, end + math.prod(parts[name].shape) * parts[name].dtype.itemsize
        header[name] = {"dtype": kinds[name], "shape": list(parts[name].shape), "data_offsets": [start, end]}
    described = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    described += b" " * (-len(described) % 8)
    with atomic_stream(path) as stream:
        stream.write(len(described).to_bytes(8, "little") + described)
        for name in names:
            part = parts[name]
            tensor = (part.make() if isinstance(part, Lazy) else part).detach()
            if tuple(tensor.shape) != tuple(part.shape) or tensor.dtype != part.dtype:
                raise ValueError(
                    f"{name} was announced as {tuple(part.shape)} of {part.dtype}, and is {tuple(tensor.shape)} of {tensor.dtype}"
                )
            stream.write(tensor.cpu().contiguous().reshape(-1).view(uint8).numpy().data)


def tensor_shapes(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return the type and shape of each tensor in a file of safetensors, from its header alone."""
    size = require_regular(path)
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
    if not 2 <= length <= min(size - 8, HEADER_BYTES):
        raise ModelError(f"{path} says that its header has {length:,} bytes, of a file of {size:,}; fetch the model again")
    from safetensors import safe_open

    with naming(path), safe_open(path, framework="pt") as stored:
        if len(names := stored.keys()) > MOST_TENSORS:
            raise ModelError(f"{path} holds {len(names):,} tensors, and one file may hold {MOST_TENSORS:,}; save it in shards")
        slices = {name: stored.get_slice(name) for name in names}
        return {name: (one.get_dtype(), tuple(one.get_shape())) for name, one in slices.items()}


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file of safetensors, mapped; raise ModelError for one that is damaged."""
    from safetensors.torch import load_file

    tensor_shapes(path)
    with naming(path):
        return load_file(path)
