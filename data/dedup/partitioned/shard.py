"""One shard's documents as the steps so far have left them: what a task of a shard opens first and hands on last.

A step writes what it changed, and no text that it left alone: `edited.parquet` (texts), `cut.parquet` (the account) and `removed/`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Unpack

import pyarrow as pa

from data.dedup.sql import SQL
from data.dedup.texts import Texts
from data.documents.database import Database, Limits, open_database, parquet
from data.documents.ledger import RemovalWriter
from data.documents.rows import write_query
from data.documents.sharding import CorpusShard
from data.documents.slices import write_table

SHARD_BITS = 40  # bits of a document's number that count documents within its shard


def load(work: Database, table: str, files: Sequence[Path], columns: str = "*") -> None:
    """Append the columns of Parquet files to the table of that name that `tables.sql` made."""
    work.connection.execute(f"INSERT INTO {table} BY NAME SELECT {columns} FROM {parquet(files)}")


def load_heads(work: Database, copies: Sequence[Path], numbers: str) -> None:
    """Fill table `exact` with the head of every document of a query, from the files of documents that are no heads themselves."""
    work.connection.execute(
        f"""CREATE TABLE exact AS
        SELECT number, coalesce(head, number) AS head FROM ({numbers}) LEFT JOIN {parquet(copies)} USING (number)"""
    )


ROWS, EDITED, CUT = "rows.parquet", "edited.parquet", "cut.parquet"
TURNS = {"paragraph": 1, "line": 2, "substring": 3}
_EDITED = pa.schema([pa.field(name, pa.string() if name in ("id", "text") else pa.int64()) for name in ("id", "number", "turn", "text")])


class ShardInput(NamedTuple):
    """`documents`: the shard's file. `steps`: the folders that earlier steps wrote, sketch first. `number`: the shard's, from 0."""

    documents: Path
    steps: Sequence[Path]
    number: int


def shard_input(documents: Path, shard: CorpusShard | None, *steps: Path | None) -> ShardInput:
    """Return a shard's documents with what earlier steps changed in them; None stands for a step that was left out.

    Raises ValueError without a shard, since documents are numbered by it."""
    if shard is None:
        raise ValueError("documents are numbered by shard; call the stage .over(shards)")
    return ShardInput(documents, [step for step in steps if step is not None], shard.number)


class Shard(NamedTuple):
    """A database with the tables of deduplication, and the shard's texts."""

    work: Database
    texts: Texts


@contextmanager
def open_shard(given: ShardInput, output: Path, **limits: Unpack[Limits]) -> Iterator[Shard]:
    """Open a shard with table `document` and all edits so far; what is cut from now on goes to `removed/` of the output."""
    output.mkdir(parents=True, exist_ok=True)
    with open_database(**limits) as work, RemovalWriter(output) as removed:
        work.run_file(SQL / "tables.sql")
        texts = Texts(work, [given.documents], removed, given.number << SHARD_BITS)
        if given.steps:
            load(work, "document", [given.steps[0] / ROWS])
            load(work, "edited", [step / EDITED for step in given.steps], "number, turn, text")
            load(work, "cut", [step / CUT for step in given.steps])
        yield Shard(work, texts)


def write_edits(work: Database, output: Path, turn: int) -> None:
    """Write what the rule of a turn edited, with the ids by which a document can be found."""
    query = f"SELECT id, number, turn, text FROM edited JOIN document USING (number) WHERE turn = {turn} ORDER BY number"
    write_query(work, query, output / EDITED, _EDITED)
    write_table(work, f"SELECT * FROM cut WHERE turn = {turn}", output / CUT)


def load_verdicts(work: Database, verdicts: Sequence[Path]) -> None:
    """Fill table `verdict` for every document of the shard; those that no cluster has stay, each a cluster by itself."""
    work.connection.execute(
        f"""CREATE TABLE verdict AS
        SELECT d.number, d.id, coalesce(v.cluster, d.number) AS cluster, v.best, v.rule, v.original, v.jaccard
        FROM document AS d LEFT JOIN {parquet(verdicts)} AS v USING (number)"""
    )


def load_names(work: Database, query: str) -> None:
    """Add to `document` the documents of other shards that a query (number, id) names."""
    work.connection.execute(
        f"INSERT INTO document BY NAME SELECT DISTINCT number, id FROM ({query}) ANTI JOIN document USING (number) WHERE number IS NOT NULL"
    )
