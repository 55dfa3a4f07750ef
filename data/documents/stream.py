"""Documents pass through memory a few megabytes at a time, ordered by id, and leave in the same order.

Several files are read as one, in the order given: what comes of them is, to the byte, what comes of one file that holds their rows.

Row groups close by the characters and the rows they hold, so the same rows make the same bytes whatever was read before. One document
is the least that can be held: memory is bounded by the batch and the longest document, whatever the number of documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.documents.database import Workspace, parquet
from data.documents.group import Group, RowWriter
from data.documents.schema import DOCUMENTS

COLUMNS = tuple(DOCUMENTS.names)
BATCH_CHARACTERS = 16_000_000
SLICE_CHARACTERS = 1_000_000
BATCH_ROWS = 32_768
READ_ROWS = 64


def batches(documents: Path | Sequence[Path], columns: tuple[str, ...] = COLUMNS) -> Iterator[pa.Table]:
    """Tables of whole documents, in the order of the files and of their rows, each of about `BATCH_CHARACTERS` characters
    and of `BATCH_ROWS` rows at most."""
    held: list[pa.RecordBatch] = []
    size = 0
    for path in [documents] if isinstance(documents, Path) else documents:
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
            for piece in file.iter_batches(batch_size=READ_ROWS, columns=list(columns)):
                held.append(piece)
                size += piece.nbytes
                if size >= BATCH_CHARACTERS or len(held) * READ_ROWS >= BATCH_ROWS:
                    yield pa.Table.from_batches(held)
                    held, size = [], 0
                    # What the last batches had goes back to the system, or Arrow would hold twice as much as it uses.
                    pa.default_memory_pool().release_unused()
    if held:
        yield pa.Table.from_batches(held)


def slices(table: pa.Table, characters: int = SLICE_CHARACTERS) -> Iterator[pa.Table]:
    """The rows of a table in order, in tables of about so many characters of `text`: for what makes much of each word."""
    first, size = 0, 0
    for row, length in enumerate(pc.utf8_length(table["text"]).to_pylist()):
        size += length or 0
        if size >= characters:
            yield table.slice(first, row + 1 - first)
            first, size = row + 1, 0
    if first < table.num_rows:
        yield table.slice(first)


def ordered(work: Workspace, documents: Sequence[Path]) -> Sequence[Path]:
    """`documents` themselves if ids ascend through them, as they do through shards, or else a sorted copy in the workspace.

    Raises ValueError for a missing column and for an id that comes twice.
    """
    for path in documents:
        missing = [name for name in COLUMNS if name not in pq.read_schema(path).names]
        if missing:
            raise ValueError(f"{path.name} has no column {', '.join(missing)}; documents need {', '.join(COLUMNS)}")
    last = ""
    rising = True
    for table in batches(documents, ("id",)):
        for value in map(str, table["id"].to_pylist()):
            rising = rising and value > last
            last = value
    if rising:
        return documents
    source = parquet(documents)
    twice = work.rows(f"SELECT id FROM {source} GROUP BY id HAVING count(*) > 1 ORDER BY id LIMIT 1")
    if twice:
        raise ValueError(f"document id {twice[0][0]} comes more than once in {documents[0].name}; ids must be unique")
    target = work.folder / "ordered.parquet"
    work.connection.execute(
        f"COPY (SELECT {', '.join(COLUMNS)} FROM {source} ORDER BY id) TO '{target}' (FORMAT parquet, ROW_GROUP_SIZE 2048)"
    )
    return (target,)


class DocumentWriter(RowWriter):
    """Writes documents to Parquet with row groups of about `BATCH_CHARACTERS` characters of text, and of `BATCH_ROWS` at most."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, DOCUMENTS)

    def _characters(self, row: dict[str, Any]) -> int:
        return len(row["text"])

    def _full(self, group: Group) -> bool:
        return group.characters >= BATCH_CHARACTERS or group.rows >= BATCH_ROWS
