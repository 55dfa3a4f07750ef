"""Writes rows as memory-mappable shards: Arrow IPC files of one record batch each, and `shards.json` last.

Equal rows give equal bytes. The columns are those of the first rows added: each describes itself by its array, so rows of a new kind, or
with one more column, need no change here. Memory holds the rows of one file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from data.shards.files import write_file
from data.shards.metadata import BEGIN, FORMAT, ShardCounts, ShardFile, ShardMetadata, SourceRows, write_metadata
from data.shards.schema import Column, Columns, describe


class ShardWriter:
    """Collects rows, writes a file for every `shard_rows` of them, and `shards.json` on `close`."""

    def __init__(self, directory: Path, shard_rows: int, modalities: Mapping[str, str] | None = None) -> None:
        """`modalities`: of columns whose type and shape don't suggest it (see `schema`)."""
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.shard_rows = directory, shard_rows
        self.rows = 0
        self.columns: tuple[Column, ...] = ()
        self._modalities = dict(modalities or {})
        self._files: list[ShardFile] = []
        self._pending: list[Columns] = []
        self._pending_rows = 0

    def add(self, columns: Columns) -> None:
        """Add rows, each column [rows, *shape]; raise ValueError if the columns differ from earlier rows'."""
        described = describe(columns, self._modalities)
        self.columns = self.columns or described
        counts = {len(values) for values in columns.values()}
        if described != self.columns or len(counts) != 1:
            wanted, given = (", ".join(map(str, some)) for some in (self.columns, described))
            raise ValueError(f"{self.directory} has rows of {wanted}; got {given} with {sorted(counts)} rows")
        (count,) = counts
        start = 0
        while start < count:
            take = min(count - start, self.shard_rows - self._pending_rows)
            self._pending.append({name: values[start : start + take] for name, values in columns.items()})
            self._pending_rows += take
            start += take
            if self._pending_rows == self.shard_rows:
                self._flush()

    def close(
        self,
        kind: str,
        *,
        sequence_length: int,
        tokenizer_digest: str,
        vocab_size: int,
        counts: ShardCounts | None = None,
        sources: Sequence[SourceRows] = (),
        tables: Columns | None = None,
        begin: int = BEGIN,
    ) -> ShardMetadata:
        """Write the remaining rows and `shards.json`.

        `sources`: the rows of each source, in order, if each row holds one source. `tables`: for each column that follows from the tokens,
        its value for every token, [vocab_size, *shape]. `begin`: the token that documents begin with.
        """
        if self._pending_rows:
            self._flush()
        counted = counts or ShardCounts()
        metadata = ShardMetadata(
            format=FORMAT,
            kind=kind,
            sequence_length=sequence_length,
            vocab_size=vocab_size,
            tokenizer_digest=tokenizer_digest,
            dtype=token_dtype(vocab_size).name,
            files=tuple(self._files),
            rows=self.rows,
            tokens=counted.tokens,
            targets=counted.targets,
            bytes=counted.bytes,
            unknown=counted.unknown,
            unknown_bytes=counted.unknown_bytes,
            sources=tuple(sources),
            tables=tuple(self._write_table(name, values, vocab_size) for name, values in (tables or {}).items()),
            begin=begin,
        )
        write_metadata(self.directory, metadata)
        return metadata

    def _flush(self) -> None:
        columns = {column.name: np.concatenate([part[column.name] for part in self._pending]) for column in self.columns}
        self._files.append(write_file(self.directory / f"{len(self._files):05d}.arrow", self.columns, columns))
        self.rows += self._pending_rows
        self._pending, self._pending_rows = [], 0

    def _write_table(self, name: str, values: np.ndarray, vocab_size: int) -> ShardFile:
        if len(values) != vocab_size:
            raise ValueError(f"the table of {name!r} has {len(values)} rows; it needs one for each of {vocab_size} tokens")
        return write_file(self.directory / f"{name}.arrow", describe({name: values}, {}), {name: values})


def write_shards(
    directory: Path,
    kind: str,
    columns: Columns,
    *,
    sequence_length: int,
    tokenizer_digest: str,
    vocab_size: int,
    shard_rows: int = 8192,
    modalities: Mapping[str, str] | None = None,
    counts: ShardCounts | None = None,
) -> ShardMetadata:
    """Write rows that are all in memory, each column [rows, *shape], of any kind: a scalar column is [rows].

    Raise ValueError for a type that shards don't hold, or columns of different numbers of rows.
    """
    writer = ShardWriter(directory, shard_rows, modalities)
    writer.add(columns)
    return writer.close(kind, sequence_length=sequence_length, tokenizer_digest=tokenizer_digest, vocab_size=vocab_size, counts=counts)


def token_dtype(vocab_size: int) -> np.dtype[np.unsignedinteger]:
    """Return the smallest type that token ids of a vocabulary are stored as: uint16 or uint32."""
    return np.dtype(np.uint16 if vocab_size <= 65_536 else np.uint32)
