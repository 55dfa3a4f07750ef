"""Reading the text in tables: every string of a Parquet or Arrow file, and every text or blob of an SQLite database.

The strings of a column, or of a database's row, are yielded as one text, a few rows at a time, so a text that lies in lines or pieces is
found as well. Memory holds those rows. A database is opened for reading only, while others may write to it.

Reading token rows as text: with the vocabulary of the tokenizer that wrote them, without loading a model or the rows' other columns.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.shards.schema import KINDS, Array
from data.tokens.encoder import token_spellings

ROWS = 64
PIECE = 4 << 20
SECONDS = 30.0  # to wait for a database that is being written


def parquet_texts(stream: IO[bytes]) -> Iterator[tuple[str, str]]:
    """Yield (column, text) of a Parquet file. Raise pyarrow.ArrowException if it is damaged."""
    with pq.ParquetFile(stream, pre_buffer=False, buffer_size=1 << 20) as file:
        columns = [field.name for field in file.schema_arrow if _holds_text(field.type)]
        for batch in file.iter_batches(ROWS, columns=columns) if columns else ():
            yield from _batch_texts(batch)


def arrow_texts(stream: Any) -> Iterator[tuple[str, str]]:
    """Yield (column, text) of an Arrow file. Raise pyarrow.ArrowException if it is damaged."""
    with pa.ipc.open_file(stream) as file:
        for number in range(file.num_record_batches):
            batch = file.get_batch(number)
            for start in range(0, batch.num_rows, ROWS):
                yield from _batch_texts(batch.slice(start, ROWS))


def sqlite_texts(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (table, text) of an SQLite database. Raise sqlite3.Error if it can't be read."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=SECONDS)
    try:
        connection.text_factory = bytes
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name")
        for table in [str(name, "utf-8", "replace") for (name,) in names.fetchall()]:
            quoted = '"' + table.replace('"', '""') + '"'
            pending: list[str] = []
            size = 0
            for row in connection.execute(f"SELECT * FROM {quoted}"):
                pending += [value.decode("utf-8", "replace") for value in row if isinstance(value, bytes)]
                size += sum(len(value) for value in row if isinstance(value, bytes))
                if size > PIECE:
                    yield table, "\n".join(pending)
                    pending, size = [], 0
            yield table, "\n".join(pending)
    finally:
        connection.close()


def _holds_text(kind: Any) -> bool:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return True
    if pa.types.is_dictionary(kind):
        return _holds_text(kind.value_type)
    return any(_holds_text(kind.field(number).type) for number in range(kind.num_fields))


def _batch_texts(batch: pa.RecordBatch) -> Iterator[tuple[str, str]]:
    for field in batch.schema:
        if _holds_text(field.type) and (strings := list(_strings(batch.column(field.name).to_pylist()))):
            yield field.name, "\n".join(strings)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes):
        yield value.decode("utf-8", "replace")
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _strings(inner)
    elif isinstance(value, dict):
        yield from _strings(list(value.values()))


ROWS_AT_ONCE = 4096
NUMBERED = frozenset(name for kind in KINDS.values() for name in kind.documents)  # stored as tokens are, but no tokens


@dataclass(frozen=True)
class Vocabulary:
    """The UTF-8 bytes of each token id; a special token separates. `digest`: the sha256 of its tokenizer.json."""

    digest: str
    spellings: tuple[bytes, ...]

    @classmethod
    def read(cls, content: bytes) -> Vocabulary:
        """Read a tokenizer.json. Raise ValueError if it is none."""
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_buffer(content)
        except Exception as error:  # the library raises nothing narrower
            raise ValueError(f"it is not a tokenizer ({error})") from error
        return cls(hashlib.sha256(content).hexdigest(), tuple(spelling or b"\n" for spelling in token_spellings(tokenizer)))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type that its ids are stored as."""
        return np.dtype(np.uint16 if len(self.spellings) <= 65_536 else np.uint32)

    def text(self, ids: Array) -> str:
        """Return what ids write; an id beyond the vocabulary separates."""
        spellings, size = self.spellings, len(self.spellings)
        return b"".join(spellings[i] if i < size else b"\n" for i in ids.tolist()).decode("utf-8", "replace")


def row_texts(tokens: Array, vocabulary: Vocabulary) -> Iterator[str]:
    """Yield rows [rows, width] as one text: a document may continue in the next row, which may repeat the last token."""
    for start in range(0, len(tokens), ROWS_AT_ONCE):
        rows = tokens[max(start - 1, 0) : start + ROWS_AT_ONCE]
        kept = np.ones(rows.shape, dtype=np.bool_)
        kept[1:, 0] = rows[1:, 0] != rows[:-1, -1]
        yield vocabulary.text(rows[kept])


def token_columns(stream: Any) -> Iterator[Array]:
    """Yield the columns of an Arrow file that hold token ids in rows: [rows, width]."""
    with pa.ipc.open_file(stream) as file:
        for number in range(file.num_record_batches):
            batch = file.get_batch(number)
            for name, column, kind in zip(batch.schema.names, batch.columns, batch.schema.types, strict=True):
                if name not in NUMBERED and pa.types.is_fixed_size_list(kind) and pa.types.is_unsigned_integer(kind.value_type):
                    values: Any = column
                    yield np.asarray(values.flatten()).reshape(len(column), kind.list_size)


def stream_texts(stream: IO[bytes], vocabularies: Iterable[Vocabulary]) -> Iterator[str]:
    """Yield bare token ids, as packing keeps them while it works, as text of each vocabulary."""
    for vocabulary in vocabularies:
        stream.seek(0)
        while block := stream.read(vocabulary.dtype.itemsize << 20):
            whole = len(block) - len(block) % vocabulary.dtype.itemsize
            yield vocabulary.text(np.frombuffer(block[:whole], vocabulary.dtype))
