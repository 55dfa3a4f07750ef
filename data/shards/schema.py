"""Columns of packed rows, and how an Arrow schema describes them.

A column has a name, the type and shape of its values in one row, and a modality: what the values are. A file's schema says all of it: a
scalar column is a plain field, any other a fixed-size list for each dimension, and nothing is null. The modality stands in the field's
metadata where it is not the one that type and shape suggest: flags for booleans, tokens for unsigned integers, integers for signed ones,
numbers for floats, vectors for floats with at least two dimensions (positions, then vectors).

What the columns of a kind of rows are for, where their files don't say it themselves.

A kind that stands here is checked: its columns must be in every file. Any other kind of rows needs no entry: its columns describe
themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

Array = NDArray[Any]
Columns = Mapping[str, Array]  # by name, each [rows, *shape]
MODALITY = b"modality"
WORDS = "words"  # the table of which tokens go on a word, of shards that have it: 1: may follow within one, 2: may be followed
TYPES = frozenset(["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64"])


class ShardError(ValueError):
    """The shards are missing, damaged, of another format, or made with another tokenizer."""


def document_spans(documents: Array) -> Iterator[tuple[int, int]]:
    """Yield where each document of a row begins and ends. documents [C]: which document each token belongs to."""
    yield from pairwise([0, *(np.flatnonzero(documents[1:] != documents[:-1]) + 1).tolist(), len(documents)])


@dataclass(frozen=True)
class Column:
    """One column: `dtype` and `shape` describe its values in one row, as stored; shape () is a scalar."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    modality: str

    @property
    def size(self) -> int:
        """Values in one row."""
        return math.prod(self.shape)

    @property
    def read_dtype(self) -> np.dtype[Any]:
        """The type that rows are read as: int64, which torch indexes with, for integers; float32 for half floats; else as stored."""
        if self.dtype.kind in "iu" and self.dtype != np.uint64:
            return np.dtype(np.int64)
        return np.dtype(np.float32) if self.dtype == np.float16 else self.dtype

    def __str__(self) -> str:
        return f"{self.name} ({self.modality}, {self.dtype.name} {list(self.shape)} a row)"


def usual_modality(dtype: np.dtype[Any], shape: tuple[int, ...]) -> str:
    """Return the modality that a column of this type and shape has unless its field says another."""
    if dtype.kind == "f":
        return "vectors" if len(shape) > 1 else "numbers"
    return {"b": "flags", "u": "tokens", "i": "integers"}[dtype.kind]


def describe(columns: Columns, modalities: Mapping[str, str]) -> tuple[Column, ...]:
    """Return the description of arrays [rows, *shape]; `modalities` names those that are not the usual ones.

    Raise ValueError for a name, type or shape that shards don't hold, or a modality of no column.
    """
    if unknown := sorted(modalities.keys() - columns.keys()):
        raise ValueError(f"modalities are given for {unknown}, which are not among the columns {sorted(columns)}")
    found = []
    for name, values in columns.items():
        if not name.isidentifier():
            raise ValueError(f"a column is named {name!r}; its name needs to be of letters, digits and _, and not begin with a digit")
        if values.dtype.name not in TYPES or values.dtype.byteorder == ">":
            raise ValueError(f"column {name!r} has type {values.dtype}; shards hold {', '.join(sorted(TYPES))}")
        if values.ndim == 0 or 0 in values.shape[1:]:
            raise ValueError(f"column {name!r} has shape {values.shape}; it needs one value for each row, or several in a shape without 0")
        shape = tuple(int(size) for size in values.shape[1:])
        found.append(Column(name, values.dtype, shape, modalities.get(name) or usual_modality(values.dtype, shape)))
    return tuple(found)


def arrow_schema(columns: tuple[Column, ...]) -> pa.Schema:
    """Return the schema of a file with these columns."""
    import pyarrow as pa

    fields = []
    for column in columns:
        kind: Any = pa.from_numpy_dtype(column.dtype)
        for size in reversed(column.shape):
            kind = pa.list_(pa.field("item", kind, nullable=False), size)
        usual = column.modality == usual_modality(column.dtype, column.shape)
        fields.append(pa.field(column.name, kind, nullable=False, metadata=None if usual else {MODALITY: column.modality.encode()}))
    return pa.schema(fields)


def read_columns(schema: pa.Schema, where: object) -> tuple[Column, ...]:
    """Return the columns that a file's schema describes; raise ShardError, naming `where` and the column, for anything else."""
    import pyarrow as pa

    columns = []
    for number in range(len(schema)):
        field = schema.field(number)
        kind: Any = field.type
        shape: list[int] = []
        while pa.types.is_fixed_size_list(kind):
            shape.append(kind.list_size)
            kind = kind.value_type
        try:
            dtype = np.dtype(kind.to_pandas_dtype())
        except (NotImplementedError, TypeError):
            dtype = np.dtype(object)
        if dtype.name not in TYPES or 0 in shape:
            raise ShardError(f"{where}: column {field.name!r} has type {field.type}, which no column of rows has; write the rows again")
        stated = (field.metadata or {}).get(MODALITY)
        modality = stated.decode() if stated else usual_modality(dtype, tuple(shape))
        columns.append(Column(field.name, dtype, tuple(shape), modality))
    return tuple(columns)


@dataclass(frozen=True)
class RowKind:
    """The columns that rows of a kind always have.

    `targets`: each column of tokens, with the flags of the tokens that count as targets. `documents`: columns that number the documents of
    a row from 0. `labels`: columns with one flag a row.
    """

    targets: Mapping[str, str] = field(default_factory=dict)
    documents: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def columns(self) -> frozenset[str]:
        """The names of all columns."""
        return frozenset({*self.targets, *self.targets.values(), *self.documents, *self.labels})

    def of_no_file(self, sequence_length: int, token_dtype: str) -> tuple[Column, ...]:
        """Return these columns as rows of tokens have them, for a directory without rows, which has no file to describe them."""
        shape = (sequence_length + 1,)
        tokens = (Column(name, np.dtype(token_dtype), shape, "tokens") for name in self.targets)
        flags = (Column(name, np.dtype(np.bool_), shape, "flags") for name in self.targets.values())
        documents = (Column(name, np.dtype(np.uint16), shape, "documents") for name in self.documents)
        labels = (Column(name, np.dtype(np.bool_), (), "flags") for name in self.labels)
        return (*tokens, *flags, *documents, *labels)

    def name_modalities(self, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        """Return the columns with the modality of those that number documents, which their type does not tell from tokens."""
        return tuple(replace(column, modality="documents") if column.name in self.documents else column for column in columns)


PACKED = RowKind(targets={"tokens": "loss"}, documents=("document",))
PAIRS = RowKind(targets={"chosen": "chosen_loss", "rejected": "rejected_loss"})
LABELLED = RowKind(targets={"tokens": "loss"}, labels=("desirable",))
KINDS: dict[str, RowKind] = {"pretrain": PACKED, "sft": PACKED, "preference": PAIRS, "labels": LABELLED}
