"""The header of a GGUF model's file, checked against the file before it is believed.

gguf's own reader takes every count for true, and one of 2^60 elements keeps it busy for ever. Here each count and length is compared with
the bytes that are left, and each tensor with the file, so a header costs no more than it is long.
"""

from __future__ import annotations

import math
import struct
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.shards.model_folder import require_regular
from model.networks.base import ModelError

if TYPE_CHECKING:
    from gguf import GGMLQuantizationType

HEADER_BYTES = 256 * 2**20
"""Metadata and the list of tensors. The largest vocabularies take 15 MB."""
MOST_ITEMS = 4_000_000
"""Items of all arrays: 260,000 tokens with scores, types and merges are 1.3 million."""
MOST_TENSORS = 100_000
SCALARS = {0: "u1", 1: "i1", 2: "u2", 3: "i2", 4: "u4", 5: "i4", 6: "f4", 7: "?", 10: "u8", 11: "i8", 12: "f8"}
TEXT, ARRAY = 8, 9


class StoredTensor(NamedTuple):
    """A tensor of a file, not yet read. `shape` is llama.cpp's, inputs first; `data` is a view of the file, outputs first."""

    name: str
    shape: tuple[int, ...]
    kind: GGMLQuantizationType
    data: NDArray[Any]


class GgufHeader:
    """The metadata of one file, as Python's values, and where its tensors are. Raise ModelError for a file that contradicts itself."""

    def __init__(self, path: Path) -> None:
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
        if (version := self._number("u4")) not in (2, 3):
            raise self._wrong(f"its version is {version}, and 2 and 3 are read, in little-endian order")
        tensors, pairs = self._number("u8"), self._number("u8")
        self.fields: dict[str, Any] = {}
        for _ in range(self._count("pairs of metadata", pairs, 13)):
            key = self._text()
            if key in self.fields:
                raise self._wrong(f"the key {key[:100]!r} stands twice")
            self.fields[key] = self._value(self._number("u4"), key)
        self._stored = self._tensor_list(min(self._count("tensors", tensors, 24), MOST_TENSORS + 1))

    def tensors(self) -> dict[str, StoredTensor]:
        """Return the tensors by name; raise ModelError unless they lie in the file, one beside the other."""
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
            if not 1 <= (dimensions := self._number("u4")) <= 4:
                raise self._wrong(f"tensor {name[:100]} has {dimensions:,} dimensions")
            shape = tuple(self._number("u8") for _ in range(dimensions))
            if not all(shape) or math.prod(shape) > 8 * self.size:  # no type has less than a bit a number
                raise self._wrong(f"tensor {name[:100]} has shape {shape}, in a file of {self.size:,} bytes")
            listed[name] = (name, shape, self._number("u4"), self._number("u8"))
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
        inner, count = self._number("u4"), self._number("u8")
        if inner != TEXT and inner not in SCALARS:
            raise self._wrong(f"{key[:100]} is an array of type {inner}, which is not read")
        width = 8 if inner == TEXT else np.dtype(SCALARS[inner]).itemsize
        self._items -= self._count(f"items of {key[:100]}", count, width)
        if self._items < 0:
            raise self._wrong(f"with the {count:,} of {key[:100]} its arrays have more than {MOST_ITEMS:,} items")
        if inner == TEXT:
            return [self._text() for _ in range(count)]
        start = self._take(count * width)
        return self._data[start : self._at].view(f"<{SCALARS[inner]}").tolist()

    def _number(self, code: str) -> Any:
        dtype = np.dtype(f"<{code}")
        start = self._take(dtype.itemsize)
        return self._data[start : self._at].view(dtype)[0].item()

    def _text(self) -> str:
        (length,) = struct.unpack_from("<Q", self._view, self._take(8))
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
