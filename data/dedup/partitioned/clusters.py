"""Clusters, and the copy of each document that stays: connected components of all pairs, then a partition of the clusters at a time.

Components are one task over numbers alone: 24 bytes a pair and 16 a document that has a copy, which DuckDB spills. A cluster is never
divided, so the largest one sets the size of a partition.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Unpack

from data.dedup.clusters import add_known_shares, connect_components, rank_copies
from data.dedup.config import PartitionedConfig
from data.dedup.dedup import PAIRS
from data.dedup.near import NearDuplicates, set_near_variables
from data.dedup.partitioned.pairs import load_shingles
from data.dedup.partitioned.shard import SHARD_BITS, load, open_shard, shard_input
from data.dedup.sql import SQL
from data.documents.database import Limits, open_database, parquet
from data.documents.sharding import CorpusShard
from data.documents.slices import write_slices, write_table

CORPUS, CHALLENGES = "corpus.parquet", "challenges.parquet"
_VERDICTS = f"""SELECT
    v.number >> {SHARD_BITS} AS slice, v.number, v.cluster, v.best, v.rule, v.original, v.jaccard, r.reason,
    c.id AS cluster_id, o.id AS original_id, b.id AS best_id
FROM verdict AS v
LEFT JOIN document AS c ON c.number = v.cluster
LEFT JOIN document AS o ON o.number = v.original
LEFT JOIN document AS b ON b.number = v.best
LEFT JOIN reason AS r ON r.number = v.number"""


def find_components(
    copies: Sequence[Path],
    extents: Sequence[Path],
    output: Path,
    config: PartitionedConfig,
    pairs: Sequence[Path] = (),
    **limits: Unpack[Limits],
) -> dict[str, float]:
    """Connect all pairs; write slices of the members of clusters by shard, and of the pairs within a cluster by partition of clusters.

    `extents`: those of the shards in order. Raise ValueError if ids don't ascend through them."""
    with open_database(**limits) as work:
        work.run_file(SQL / "tables.sql")
        write_table(work, f"SELECT {_require_order(extents)} AS documents", output / CORPUS)
        work.connection.execute(f"CREATE TABLE exact AS FROM {parquet(copies)}")
        compared = f"SELECT a, b, jaccard FROM {parquet(pairs)}" if pairs else "SELECT * FROM near_pair WHERE false"
        work.connection.execute(f"CREATE VIEW compared AS {compared}")
        work.connection.execute("INSERT INTO near_pair SELECT a, b, jaccard FROM compared WHERE jaccard IS NOT NULL")
        connect_components(work)
        # Two distinct texts are a cluster only if they were compared; of three or more, some pair may not have been.
        several = "count(*) FILTER (exact.head IS NULL) OVER (PARTITION BY cluster) > 2"
        members = f"""SELECT number >> {SHARD_BITS} AS slice, number, cluster, coalesce(exact.head, number) AS head, {several} AS several
            FROM component LEFT JOIN exact USING (number)"""
        write_slices(work, members, output / "members", config.shards)
        within = f"""SELECT cluster % {config.partitions} AS slice, a, b, jaccard
            FROM compared JOIN component AS l ON l.number = a JOIN component AS r USING (cluster) WHERE r.number = b"""
        write_slices(work, within, output / "pairs", config.partitions)
        return {"documents_in_clusters": work.number("SELECT count(*) FROM component")}


def describe_members(
    documents: Path,
    members: Sequence[Path],
    corpus: Path,
    output: Path,
    config: PartitionedConfig,
    shard: CorpusShard | None,
    sketched: Path,
    frequencies: Sequence[Path] = (),
    **limits: Unpack[Limits],
) -> dict[str, float]:
    """Write slices of what the choice needs to know of a shard's members of clusters: rows, shares of known words, and shingles.

    Shingles are those of clusters in which documents may be compared that no bucket brought together."""
    rules, count = config.rules, config.partitions
    with (
        open_shard(shard_input(documents, shard, sketched), output, **limits) as (work, texts),
        ThreadPoolExecutor(limits["threads"]) as pool,
    ):
        work.connection.execute(f"CREATE TABLE component AS FROM {parquet(members)}")
        if frequencies and work.number("SELECT count(*) FROM component"):
            query = f"SELECT word, documents::HUGEINT AS documents FROM {parquet(frequencies)}"
            work.connection.execute(f"CREATE TABLE document_frequency AS {query}")
            add_known_shares(work, texts, int(work.number(f"SELECT documents FROM {parquet([corpus])}")))
        removes = str(rules.near.action == "remove").lower()
        work.connection.execute(f"CREATE TABLE proposed AS SELECT number FROM component WHERE several AND number = head AND {removes}")
        NearDuplicates(work, rules.near, pool).add_shingles(texts)
        described = f"""SELECT cluster % {count} AS slice, document.* EXCLUDE (fingerprint), cluster, head, share
            FROM document JOIN component USING (number) LEFT JOIN known USING (number)"""
        write_slices(work, described, output / "rows", count)
        shingles = f"SELECT cluster % {count} AS slice, number, shingle FROM shingle JOIN component USING (number)"
        write_slices(work, shingles, output / "shingles", count)
        return {"documents": work.number("SELECT count(*) FROM component")}


def choose_members(
    rows: Sequence[Path], shingles: Sequence[Path], pairs: Sequence[Path], output: Path, config: PartitionedConfig, **limits: Unpack[Limits]
) -> dict[str, float]:
    """Decide which members of a partition's clusters stay; write slices of the verdicts by shard, and all pairs by id."""
    with open_database(**limits) as work:
        work.run_file(SQL / "tables.sql")
        set_near_variables(work, config.rules.near)
        load(work, "document", rows, "* EXCLUDE (cluster, head, share)")
        work.connection.execute(f"CREATE TABLE exact AS SELECT number, head FROM {parquet(rows)}")
        work.connection.execute(f"CREATE TABLE component AS SELECT number, cluster FROM {parquet(rows)}")
        work.connection.execute(f"INSERT INTO known SELECT number, share FROM {parquet(rows)} WHERE share IS NOT NULL")
        work.connection.execute(f"INSERT INTO candidate SELECT a, b FROM {parquet(pairs)}")
        work.connection.execute(f"INSERT INTO near_pair SELECT a, b, jaccard FROM {parquet(pairs)} WHERE jaccard IS NOT NULL")
        load_shingles(work, shingles)
        work.run_file(SQL / "clusters.sql")
        rank_copies(work, config.rules)
        write_slices(work, _VERDICTS, output / "verdicts", config.shards)
        PAIRS.write(work, output / "pairs")
        challenges = f"SELECT a, b FROM candidate ANTI JOIN {parquet(pairs)} USING (a, b)"
        write_table(work, challenges, output / "pairs" / CHALLENGES)
        removed = {f"documents_{rule}": f"SELECT count(*) FROM verdict WHERE rule = '{rule}_document'" for rule in ("exact", "near")}
        return {name: work.number(query) for name, query in removed.items()}


def _require_order(extents: Sequence[Path]) -> int:
    """Return how many documents the shards hold. Raise ValueError if ids don't ascend through them."""
    import pyarrow.parquet as pq

    rows = [row for path in extents for row in pq.ParquetFile(path).read().to_pylist() if row["documents"]]
    for one, other in pairwise(rows):
        if one["last"] >= other["first"]:
            raise ValueError(
                f"ids don't ascend through the shards: {other['first']} comes after {one['last']}, and partitioned deduplication numbers "
                "documents by their shard; divide them by shard_of, or set dedup.partitions=1"
            )
    return sum(row["documents"] for row in rows)
