"""Near-duplicate pairs: proposed by a partition of the buckets, verified by a partition of the pairs.

A pair belongs to the partition of its higher number. A document in half of all buckets is the lower one in most of its pairs, so no
partition gets them all. The shingles of a document go to each partition that has a pair of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Unpack

from data.dedup.near import NearDuplicates, set_near_variables
from data.dedup.partitioned.config import PartitionedConfig
from data.dedup.partitioned.shard import ShardInput, open_shard
from data.dedup.partitioned.tables import SHARD_BITS, load, load_heads
from data.dedup.sql import SQL
from data.documents.database import Database, Limits, open_database, parquet
from data.documents.slices import write_slices, write_table

PAIRS = "pairs.parquet"


def propose_pairs(
    signatures: Sequence[Path], copies: Sequence[Path], output: Path, config: PartitionedConfig, **limits: Unpack[Limits]
) -> dict[str, float]:
    """Propose pairs from a partition of the buckets; write slices of them, and for each shard the partitions that want its shingles."""
    with open_database(**limits) as work:
        work.run_file(SQL / "tables.sql")
        set_near_variables(work, config.rules.near)
        load(work, "signature", signatures)
        load_heads(work, copies, "SELECT DISTINCT number FROM signature")
        work.run_file(SQL / "candidates.sql")
        pairs = f"SELECT b % {config.partitions} AS slice, a, b FROM pending_pair"
        write_slices(work, pairs, output / "pairs", config.partitions)
        wanted = f"""SELECT number >> {SHARD_BITS} AS slice, number, wanted
            FROM (SELECT a AS number, slice AS wanted FROM ({pairs}) UNION SELECT b, slice FROM ({pairs}))"""
        write_slices(work, wanted, output / "wanted", config.shards)
        return {"pairs_proposed": work.number("SELECT count(*) FROM pending_pair")}


def write_shingles(
    given: ShardInput, wanted: Sequence[Path], output: Path, config: PartitionedConfig, **limits: Unpack[Limits]
) -> dict[str, float]:
    """Write slices of the shingle sets of a shard's documents, for the partitions that want them."""
    with open_shard(given, output, **limits) as (work, texts), ThreadPoolExecutor(limits["threads"]) as pool:
        work.connection.execute(f"CREATE TABLE wanted AS SELECT DISTINCT number, wanted FROM {parquet(wanted)}")
        work.connection.execute("CREATE TABLE proposed AS SELECT DISTINCT number FROM wanted")
        NearDuplicates(work, config.rules.near, pool).add_shingles(texts)
        query = "SELECT wanted AS slice, number, shingle FROM shingle JOIN wanted USING (number)"
        write_slices(work, query, output / "shingles", config.partitions)
        return {"documents_proposed": work.number("SELECT count(*) FROM proposed")}


def verify_pairs(
    pairs: Sequence[Path], shingles: Sequence[Path], output: Path, config: PartitionedConfig, **limits: Unpack[Limits]
) -> dict[str, float]:
    """Write every pair of a partition, with its true Jaccard similarity if the two are near duplicates and NULL otherwise."""
    with open_database(**limits) as work:
        work.run_file(SQL / "tables.sql")
        set_near_variables(work, config.rules.near)
        work.connection.execute(f"CREATE TABLE pending_pair AS SELECT DISTINCT a, b FROM {parquet(pairs)}")
        load_shingles(work, shingles)
        work.run_file(SQL / "verify.sql")
        write_table(work, "SELECT a, b, jaccard FROM candidate LEFT JOIN near_pair USING (a, b)", output / PAIRS)
        return {name: work.number(f"SELECT count(*) FROM {table}") for name, table in (("pairs", "candidate"), ("pairs_near", "near_pair"))}


def load_shingles(work: Database, shingles: Sequence[Path]) -> None:
    """Fill tables `shingle` and `shingle_count`."""
    load(work, "shingle", shingles)
    work.connection.execute("INSERT INTO shingle_count SELECT number, count(*) FROM shingle GROUP BY number")
