"""Pairs of near-duplicates by partition: sketches and equal texts by shard, pairs proposed and verified by partition.

Near-duplicate pairs: proposed by a partition of the buckets, verified by a partition of the pairs.
A pair belongs to the partition of its higher number. A document in half of all buckets is the lower one in most of its pairs, so no
partition gets them all. The shingles of a document go to each partition that has a pair of it.

The first steps: sketches of a shard's documents, and the groups of documents with equal words.

Costs a pass over the texts, and a second where `keep` asks for known words.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Unpack

from data.dedup.clusters import count_words
from data.dedup.config import PartitionedConfig
from data.dedup.near import NearDuplicates, set_near_variables, sketch_documents
from data.dedup.partitioned.shard import ROWS, SHARD_BITS, load, load_heads, open_shard, shard_input, write_edits
from data.dedup.sql import SQL
from data.documents.database import Database, Limits, open_database, parquet
from data.documents.sharding import CorpusShard
from data.documents.slices import write_slices, write_table
from data.documents.stream import sorted_by_id

COPIES, EXTENT = "copies.parquet", "extent.parquet"


def sketch(
    documents: Path, output: Path, config: PartitionedConfig, shard: CorpusShard | None, **limits: Unpack[Limits]
) -> dict[str, float]:
    """Cut repeated pages; write a row a document, the shard's extent, and slices of fingerprints, signatures and counts of words.

    Raise ValueError for missing columns and for ids that repeat or don't ascend."""
    rules, count = config.rules, config.partitions
    given = shard_input(documents, shard)
    with (
        open_shard(given, output, **limits) as (work, texts),
        ThreadPoolExecutor(limits["threads"]) as pool,
    ):
        if sorted_by_id(work, [documents]) != [documents]:
            raise ValueError(
                f"ids in {documents.name} don't ascend, and partitioned deduplication numbers documents by their place; sort them by id, "
                "or set dedup.partitions=1"
            )
        sketch_documents(work, texts, NearDuplicates(work, rules.near, pool), rules)
        write_table(work, "SELECT * FROM document", output / ROWS)
        write_table(work, "SELECT count(*) AS documents, min(id) AS first, max(id) AS last FROM document", output / EXTENT)
        write_edits(work, output, 0)
        query = f"SELECT hash(fingerprint) % {count} AS slice, fingerprint, number FROM document WHERE fingerprint IS NOT NULL"
        write_slices(work, query if rules.exact else f"{query} AND false", output / "fingerprints", count)
        if rules.near.enabled:
            write_slices(work, f"SELECT bucket % {count} AS slice, bucket, number FROM signature", output / "signatures", count)
        if "known_words" in rules.keep:
            count_words(work, texts)
            query = f"SELECT word % {count} AS slice, word, sum(documents)::BIGINT AS documents FROM word_count GROUP BY word"
            write_slices(work, query, output / "words", count)
        return {"documents": work.number("SELECT count(*) FROM document"), "pages_removed": work.number("SELECT sum(pieces) FROM cut")}


def match_documents(fingerprints: Sequence[Path], output: Path, **limits: Unpack[Limits]) -> dict[str, float]:
    """Find documents of equal words in a partition of fingerprints; write those that aren't the head of their group, and the head."""
    with open_database(**limits) as work:
        work.run_file(SQL / "tables.sql")
        load(work, "document", fingerprints)
        work.set_variables(exact=True)
        work.run_file(SQL / "exact.sql")
        write_table(work, "SELECT number, head FROM exact WHERE number <> head", output / COPIES)
        return {"documents_equal": work.number("SELECT count(*) FROM exact WHERE number <> head")}


def count_frequencies(words: Sequence[Path], output: Path, **limits: Unpack[Limits]) -> dict[str, float]:
    """Count in how many documents of the corpus each word of a partition occurs."""
    with open_database(**limits) as work:
        work.run_file(SQL / "tables.sql")
        load(work, "word_count", words)
        work.run_file(SQL / "document_frequency.sql")
        write_table(work, "SELECT word, documents::BIGINT AS documents FROM document_frequency", output / "frequencies.parquet")
        return {"words": work.number("SELECT count(*) FROM document_frequency")}


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
    documents: Path,
    wanted: Sequence[Path],
    output: Path,
    config: PartitionedConfig,
    shard: CorpusShard | None,
    sketched: Path,
    **limits: Unpack[Limits],
) -> dict[str, float]:
    """Write slices of the shingle sets of a shard's documents, for the partitions that want them."""
    with (
        open_shard(shard_input(documents, shard, sketched), output, **limits) as (work, texts),
        ThreadPoolExecutor(limits["threads"]) as pool,
    ):
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
