"""The files of a GGUF model: its parts by their names, and the header of each, checked against the file before it is believed.

gguf's own reader takes every count for true, and one of 2^60 elements keeps it busy for ever. Here each count and length is compared with
the bytes that are left, and each tensor with the file, so a header costs no more than it is long.

A model in several files is as llama.cpp's gguf-split writes it: NAME-00001-of-00003.gguf and so on, metadata in the first.
The recipe's schema needs the names alone, so numpy is loaded where a header is read: no plan and no reused run pays for it.
"""

from __future__ import annotations

import math
import re
import struct
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from data.shards.model_folder import require_regular
from model.networks.base import ModelError

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGMLQuantizationType
    from numpy.typing import NDArray

_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
MOST_PARTS = 1_000
HEADER_BYTES = 256 * 2**20
"""Metadata and the list of tensors. The largest vocabularies take 15 MB."""
MOST_ITEMS = 4_000_000
"""Items of all arrays: 260,000 tokens with scores, types and merges are 1.3 million."""
MOST_TENSORS = 100_000
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Types of numbers, as `struct` calls them."""
TEXT, ARRAY = 8, 9


def parts_of(path: Path) -> list[Path]:
    """Return the files of a model whose first part this is, by its name alone; any other file stands alone.

    Raise ModelError for a later part, which lacks the metadata.
    """
    found = _PART.fullmatch(path.name)
    if found is None:
        return [path]
    if (count := int(found["count"])) > MOST_PARTS:
        raise ModelError(f"{path} is named as one of {count:,} parts, and at most {MOST_PARTS:,} are read; rename it if it is whole")
    names = [f"{found['stem']}-{number:05d}-of-{found['count']}.gguf" for number in range(1, count + 1)]
    if path.name != names[0]:
        raise ModelError(f"{path} is a later part of a model; give its first, {names[0]}")
    return [path.with_name(name) for name in names]


def is_part(name: str) -> bool:
    """Return whether a file is named as a part of a model."""
    return _PART.fullmatch(name) is not None


class StoredTensor(NamedTuple):
    """A tensor of a file, not yet read. `shape` is llama.cpp's, inputs first; `data` is a view of the file, outputs first."""

    name: str
    shape: tuple[int, ...]
    kind: GGMLQuantizationType
    data: NDArray[Any]


class GgufHeader:
    """The metadata of one file, as Python's values, and where its tensors are. Raise ModelError for a file that contradicts itself."""

    def __init__(self, path: Path) -> None:
        import numpy as np

        self.path, self._at, self._items = path, 0, MOST_ITEMS
        self.size = require_regular(path, lacking="it should be a GGUF file", within=False)
        if self.size < 24:
            raise self._wrong(f"it has {self.size} bytes")
        self._data: NDArray[np.uint8] = np.memmap(path, dtype=np.uint8, mode="r")
        self._view = self._data.data
        self._end = min(self.size, HEADER_BYTES)
        if (magic := bytes(self._view[:4])) != b"GGUF":
            raise self._wrong(f"it begins with {magic!r}")
        self._at = 4
        if (version := self._number("I")) not in (2, 3):
            raise self._wrong(f"its version is {version}, and 2 and 3 are read, in little-endian order")
        tensors, pairs = self._number("Q"), self._number("Q")
        self.fields: dict[str, Any] = {}
        for _ in range(self._count("pairs of metadata", pairs, 13)):
            key = self._text()
            if key in self.fields:
                raise self._wrong(f"the key {key[:100]!r} stands twice")
            self.fields[key] = self._value(self._number("I"), key)
        self._stored = self._tensor_list(min(self._count("tensors", tensors, 24), MOST_TENSORS + 1))

    def tensors(self) -> dict[str, StoredTensor]:
        """Return the tensors by name; raise ModelError unless they lie in the file, one beside the other."""
        import numpy as np
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
        from gguf.quants import quant_shape_to_byte_shape

        plain = {kind: np.dtype(f"<{code}") for name, code in PLAIN.items() if (kind := GGMLQuantizationType[name])}
        found: dict[str, StoredTensor] = {}
        places: list[tuple[int, int, str]] = []
        for name, shape, number, start in self._stored:
            if number not in GGML_QUANT_SIZES:
                raise self._wrong(f"tensor {name} is of type {number}, which the gguf package does not know")
            kind = GGMLQuantizationType(number)
            block, width = GGML_QUANT_SIZES[kind]
            if shape[0] % block:
                raise self._wrong(f"tensor {name} of type {kind.name} has rows of {shape[0]}, and blocks are of {block}")
            end = start + math.prod(shape) // block * width
            if end > self.size:
                raise self._wrong(f"tensor {name} of shape {shape} ends at byte {end:,} of {self.size:,}")
            places.append((start, end, name))
            rows = tuple(reversed(shape))
            dtype = plain.get(kind)
            data = self._data[start:end].view(dtype or np.uint8).reshape(rows if dtype else quant_shape_to_byte_shape(rows, kind))
            found[name] = StoredTensor(name, shape, kind, data)
        places.sort()
        for (_, end, one), (start, _, other) in pairwise(places):
            if start < end:
                raise self._wrong(f"tensors {one} and {other} overlap at byte {start:,}")
        return found

    def _tensor_list(self, count: int) -> list[tuple[str, tuple[int, ...], int, int]]:
        if count > MOST_TENSORS:
            raise self._wrong(f"it has more than {MOST_TENSORS:,} tensors")
        listed: dict[str, tuple[str, tuple[int, ...], int, int]] = {}
        for _ in range(count):
            name = self._text()
            if name in listed:
                raise self._wrong(f"tensor {name[:100]} stands twice")
            if not 1 <= (dimensions := self._number("I")) <= 4:
                raise self._wrong(f"tensor {name[:100]} has {dimensions:,} dimensions")
            shape = tuple(self._number("Q") for _ in range(dimensions))
            if not all(shape) or math.prod(shape) > 8 * self.size:  # no type has less than a bit a number
                raise self._wrong(f"tensor {name[:100]} has shape {shape}, in a file of {self.size:,} bytes")
            listed[name] = (name, shape, self._number("I"), self._number("Q"))
        alignment = self.fields.get("general.alignment", 32)
        if type(alignment) is not int or not 0 < alignment <= 2**20 or alignment & (alignment - 1):
            raise self._wrong(f"general.alignment is {alignment!r}, not a power of two")
        begin = -(-self._at // alignment) * alignment
        return [(name, shape, kind, begin + offset) for name, shape, kind, offset in listed.values()]

    def _value(self, kind: int, key: str) -> Any:
        if kind == TEXT:
            return self._text()
        if kind in SCALARS:
            return self._number(SCALARS[kind])
        if kind != ARRAY:
            raise self._wrong(f"{key[:100]} is of type {kind}, which GGUF does not have")
        inner, count = self._number("I"), self._number("Q")
        if inner != TEXT and inner not in SCALARS:
            raise self._wrong(f"{key[:100]} is an array of type {inner}, which is not read")
        width = 8 if inner == TEXT else struct.calcsize(f"<{SCALARS[inner]}")
        self._items -= self._count(f"items of {key[:100]}", count, width)
        if self._items < 0:
            raise self._wrong(f"with the {count:,} of {key[:100]} its arrays have more than {MOST_ITEMS:,} items")
        if inner == TEXT:
            return [self._text() for _ in range(count)]
        return list(struct.unpack_from(f"<{count}{SCALARS[inner]}", self._view, self._take(count * width)))

    def _number(self, code: str) -> Any:
        (found,) = struct.unpack_from(f"<{code}", self._view, self._take(struct.calcsize(f"<{code}")))
        return found

    def _text(self) -> str:
        length = self._number("Q")
        start = self._take(length)
        try:
            return str(self._view[start : self._at], "utf-8")
        except UnicodeDecodeError as error:
            raise self._wrong(f"the text at byte {start:,} is not UTF-8: {error}") from error

    def _count(self, what: str, count: int, width: int) -> int:
        """Return a count of things of at least `width` bytes, which must be left."""
        if count * width > self._end - self._at:
            raise self._wrong(f"it says that it has {count:,} {what}, and {self._end - self._at:,} bytes are left for them")
        return count

    def _take(self, length: int) -> int:
        start = self._at
        self._at += self._count("bytes more", length, 1)
        return start

    def _wrong(self, what: str) -> ModelError:
        return ModelError(f"{self.path} can't be read as a GGUF file: {what}; fetch it again")


PLAIN = {"F16": "f2", "F32": "f4", "F64": "f8", "I8": "i1", "I16": "i2", "I32": "i4", "I64": "i8"}
"""Types whose numbers stand in the file as numpy has them."""
