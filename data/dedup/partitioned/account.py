"""The last steps: each shard's result, and the results of all shards joined into those that one task writes.

Joining is one task: it copies the shards' documents as they are, and reads the lengths of texts and the account of all.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Unpack

import pyarrow.parquet as pq

from data.dedup.dedup import CLUSTERS, LEDGER, PAIRS, count_by_rule, kept
from data.dedup.partitioned.clusters import CHALLENGES
from data.dedup.partitioned.shard import load_names, load_verdicts, open_shard, shard_input
from data.dedup.sql import SQL
from data.documents.database import Limits, open_database, parquet
from data.documents.ledger import REMOVED, require_balance
from data.documents.rows import RowWriter, write_query
from data.documents.sharding import DOCUMENTS, SHARD_DOCUMENTS, SHARD_SIZES, SIZES_FILE, CorpusShard, shard_files
from data.documents.stream import READ_ROWS, SizedWriter

COPIED = ((DOCUMENTS, SHARD_DOCUMENTS), (SIZES_FILE, SHARD_SIZES))
NAMED = ("cluster", "original", "best")


def write_account(
    documents: Path,
    verdicts: Sequence[Path],
    output: Path,
    shard: CorpusShard | None,
    sketched: Path,
    paragraphs: Path | None = None,
    lines: Path | None = None,
    passages: Path | None = None,
    **limits: Unpack[Limits],
) -> dict[str, float]:
    """Write a shard's documents that stay and their sizes, clusters, ledger, and all that was removed from it.

    Raise Unbalanced if the ledger doesn't account for every character."""
    given = shard_input(documents, shard, sketched, paragraphs, lines, passages)
    with open_shard(given, output, **limits) as (work, texts):
        load_verdicts(work, verdicts)
        for name in NAMED:
            load_names(work, f"SELECT {name} AS number, {name}_id AS id FROM {parquet(verdicts)}")
        work.connection.execute(f"CREATE TABLE reason AS SELECT number, reason FROM {parquet(verdicts)} WHERE reason IS NOT NULL")
        with SizedWriter(output / DOCUMENTS, output / SIZES_FILE) as writer:
            for _, row in kept(texts):
                writer.write(row)
        work.run_file(SQL / "ledger.sql")
        for table in (CLUSTERS, LEDGER):
            table.write(work, output)
        require_balance(work, "dedup", [documents], [output / DOCUMENTS], output / "ledger.parquet")
        stayed = work.number("SELECT count(*) FROM ledger WHERE action = 'kept'")
    for path in (path for step in given.steps for path in sorted((step / "removed").glob("*.parquet"))):
        (output / "removed").mkdir(exist_ok=True)
        shutil.copyfile(path, output / "removed" / path.name)
    return {"documents_kept": stayed}


class Parts(NamedTuple):
    """The output of the last steps: `accounts` by shard, `pairs` by partition of clusters, `compared` by partition of pairs."""

    accounts: Sequence[Path]
    pairs: Sequence[Path]
    compared: Sequence[Path]


def join_accounts(documents: Sequence[Path], parts: Parts, output: Path, **limits: Unpack[Limits]) -> dict[str, float]:
    """Write the files that `dedup` writes, byte for byte, and return its counts.

    Raise Unbalanced if the ledger doesn't account for every character of `documents`."""
    output.mkdir(parents=True, exist_ok=True)
    accounts = parts.accounts
    for number, account in enumerate(accounts):
        for name, shard_name in COPIED:
            target = output / shard_name.format(number)
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(account / name, target)
    schemas = {f"{table.name}.parquet": table.schema for table in (CLUSTERS, LEDGER)}
    removed = {f"removed/{path.name}": REMOVED for account in accounts for path in sorted((account / "removed").glob("*.parquet"))}
    for name, schema in (schemas | removed).items():
        with RowWriter(output / name, schema) as rows:
            for row in _rows([account / name for account in accounts if (account / name).is_file()]):
                rows.write(row)
    with open_database(**limits) as work:
        pairs = parquet([part / "pairs.parquet" for part in parts.pairs])
        write_query(work, f"SELECT * FROM {pairs} ORDER BY a, b", output / "pairs.parquet", PAIRS.schema)
        compared = [*parts.compared, *(part / CHALLENGES for part in parts.pairs)]
        for view, source in (
            ("ledger", parquet([output / "ledger.parquet"])),
            ("verdict", parquet([output / "clusters.parquet"])),
            ("candidate", f"(SELECT a, b FROM {parquet(compared)})"),
            ("near_pair", f"(SELECT * FROM {pairs} WHERE rule = 'near')"),
        ):
            work.connection.execute(f"CREATE VIEW {view} AS FROM {source}")
        require_balance(work, "dedup", documents, shard_files(output, len(accounts)), output / "ledger.parquet")
        return count_by_rule(work)


def _rows(files: Sequence[Path]) -> Iterator[dict[str, Any]]:
    for path in files:
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
            for batch in file.iter_batches(batch_size=READ_ROWS):
                yield from batch.to_pylist()
