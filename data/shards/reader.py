"""Reading packed rows: memory-mapped Arrow files whose columns describe themselves, listed by `shards.json`.

In packed rows of text (kinds `pretrain` and `sft`) row[:-1] is the input, row[1:] the target; `document` is the ordinal of the document
within its row (attention and positions restart at each); `loss` is true where a token counts as a target.

Guarantee: rows are read as they were written, in any order. Shards made with another tokenizer are refused by digest, not by vocabulary
size (`expect`); `verify` re-hashes every file.
Cost: opening reads only the files' footers. A read copies the requested rows once, and nothing else; the mapped pages belong to the
operating system, so all workers on one machine share them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.shards.files import MappedFile, require_digest
from data.shards.metadata import METADATA, read_metadata
from data.shards.schema import KINDS, Array, Column, RowKind, ShardError


class ShardReader:
    """Random access to the rows of a shard directory; `len(reader)` is their number, `columns` describes them by name."""

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self.metadata = read_metadata(self.directory)
        self._ends = np.cumsum([file.rows for file in self.metadata.files], dtype=np.int64)
        self._files = [MappedFile(self.directory, file) for file in self.metadata.files]
        found = int(self._ends[-1]) if len(self._ends) else 0
        if found != self.metadata.rows:
            raise ShardError(f"{self.directory}: {found} rows in the files, {self.metadata.rows} in {METADATA}; write the rows again")
        kind = KINDS.get(self.metadata.kind, RowKind())
        first = self._files[0].columns if self._files else {}
        for file in self._files:
            if missing := sorted((kind.columns | first.keys()) - file.columns.keys()):
                raise ShardError(f"{file.path} lacks {missing}, which {self.metadata.kind} rows have; write the rows again")
            if other := [str(column) for name, column in file.columns.items() if first.get(name) != column]:
                raise ShardError(f"{file.path} has {', '.join(other)}, unlike {self._files[0].path}; write the rows again")
        described = tuple(first.values()) if self._files else kind.of_no_file(self.metadata.sequence_length, self.metadata.dtype)
        self.columns: dict[str, Column] = {column.name: column for column in kind.name_modalities(described)}

    def __len__(self) -> int:
        return self.metadata.rows

    def column(self, name: str) -> Column:
        """Return the description of a column; raise ShardError listing the columns if none has that name."""
        if name not in self.columns:
            raise ShardError(f"{self.directory} has no column {name!r}; its {self.metadata.kind} rows have {', '.join(self.columns)}")
        return self.columns[name]

    def rows(self, indices: Sequence[int] | NDArray[np.integer[Any]]) -> dict[str, Array]:
        """Return the rows of `indices`, in that order: each column [len(indices), *shape], of its `read_dtype`.

        Tokens and other integers are int64, which torch indexes with, flags bool, vectors and numbers float32 (float64 if stored so).
        """
        wanted = np.asarray(indices, dtype=np.int64).reshape(-1)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise IndexError(f"rows {wanted.min()}..{wanted.max()} are out of range: {self.directory} holds {len(self)}")
        out: dict[str, Array] = {
            name: np.empty((wanted.size, *column.shape), dtype=column.read_dtype) for name, column in self.columns.items()
        }
        files = np.searchsorted(self._ends, wanted, side="right")
        for number in np.unique(files).tolist():
            positions = np.flatnonzero(files == number)
            local = wanted[positions] - (int(self._ends[number - 1]) if number else 0)
            for name, values in out.items():
                values[positions] = self._files[number].read(name, local)
        return out

    def view(self, name: str, file: int) -> Array:
        """Return a column of one file as stored, [rows, *shape], without a copy; KeyError for flags, which are stored as bits."""
        return self._files[file].view(name)

    def has_table(self, name: str) -> bool:
        """Return whether the column `name` follows from the tokens, by a table of these shards."""
        return any(Path(file.name).stem == name for file in self.metadata.tables)

    def table(self, name: str) -> Array:
        """Return the value of the column `name` for each token of the vocabulary, [vocab_size, *shape].

        Raise ShardError if the column does not follow from the tokens, which leaves it without a table.
        """
        if not self.has_table(name):
            raise ShardError(f"{self.directory} has no table of {name!r}: nothing says how that column follows from tokens")
        file = next(file for file in self.metadata.tables if Path(file.name).stem == name)
        mapped = MappedFile(self.directory, file)
        if name not in mapped.columns or mapped.rows != self.metadata.vocab_size:
            raise ShardError(f"{mapped.path} has no {name!r} for each of {self.metadata.vocab_size} tokens; write the rows again")
        return mapped.read(name, np.arange(mapped.rows)).astype(mapped.columns[name].read_dtype)

    def expect(self, tokenizer_digest: str, vocab_size: int | None = None) -> None:
        """Raise ShardError unless these shards were made by the tokenizer with this SHA-256 (and, if given, vocabulary size)."""
        if self.metadata.tokenizer_digest != tokenizer_digest:
            raise ShardError(
                f"{self.directory} was encoded by tokenizer {self.metadata.tokenizer_digest[:12]}, but tokenizer "
                f"{tokenizer_digest[:12]} is in use: the same ids mean other text; encode it again with this tokenizer"
            )
        if vocab_size is not None and self.metadata.vocab_size != vocab_size:
            raise ShardError(f"{self.directory} has vocabulary {self.metadata.vocab_size}, the model has {vocab_size}")

    def verify(self) -> None:
        """Hash every file again; raise ShardError with the first that differs from what was written."""
        for file in (*self.metadata.files, *self.metadata.tables):
            require_digest(self.directory, file)
