"""The first steps: sketches of a shard's documents, and the groups of documents with equal words.

Costs a pass over the texts, and a second where `keep` asks for known words.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Unpack

from data.dedup.config import DedupConfig
from data.dedup.keep import count_words
from data.dedup.near import NearDuplicates
from data.dedup.partitioned.config import PartitionedConfig
from data.dedup.partitioned.shard import ROWS, ShardInput, open_shard, write_edits
from data.dedup.partitioned.tables import load
from data.dedup.sketch import sketch_documents
from data.dedup.sql import SQL
from data.documents.database import Limits, open_database
from data.documents.slices import write_slices, write_table
from data.documents.stream import sorted_by_id

COPIES, EXTENT = "copies.parquet", "extent.parquet"


def sketch(documents: Path, output: Path, config: PartitionedConfig, number: int, **limits: Unpack[Limits]) -> dict[str, float]:
    """Cut repeated pages; write a row a document, the shard's extent, and slices of fingerprints, signatures and counts of words.

    Raise ValueError for missing columns and for ids that repeat or don't ascend."""
    rules, count = config.rules, config.partitions
    given = ShardInput(documents, (), number)
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
        if _counts_words(rules):
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


def _counts_words(rules: DedupConfig) -> bool:
    return "known_words" in rules.keep
