"""Repeated passages: minimizers by shard, shared ones by partition, windows by shard, their copies by partition, passages by shard.

Neighbouring copies are joined where all of a document's are, in its shard. The shard of a first copy answers with the digest of its words,
so words are compared before anything is cut, and none travel.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from data.dedup.partitioned.config import UnitConfig
from data.dedup.partitioned.repeats import load_repeats, write_unit_slices
from data.dedup.partitioned.shard import TURNS, ShardInput, load_verdicts, open_shard, write_edits
from data.dedup.partitioned.tables import SHARD_BITS
from data.dedup.sql import SQL
from data.dedup.substrings import add_first_digests, add_minimizers, add_windows, cut_passages
from data.documents.database import Database, Limits, open_database, parquet
from data.documents.slices import write_slices


def write_minimizers(
    given: ShardInput, verdicts: Sequence[Path], output: Path, config: UnitConfig, **limits: Unpack[Limits]
) -> dict[str, float]:
    """Write slices of the minimizers of a shard's documents that stay."""
    with open_shard(given, output, **limits) as (work, texts):
        load_verdicts(work, verdicts)
        work.run_file(SQL / "substrings.sql")
        add_minimizers(work, texts, config.rules.substring.min_words)
        query = f"SELECT fingerprint % {config.partitions} AS slice, fingerprint, number, position FROM minimizer"
        write_slices(work, query, output / "minimizers", config.partitions)
        return {"minimizers": work.number("SELECT count(*) FROM minimizer")}


def find_shared(minimizers: Sequence[Path], output: Path, config: UnitConfig, **limits: Unpack[Limits]) -> dict[str, float]:
    """Find the minimizers of a partition that occur more than once; write slices of their places by shard."""
    with open_database(**limits) as work:
        work.connection.execute(f"CREATE VIEW minimizer AS FROM {parquet(minimizers)}")
        work.run_file(SQL / "shared_minimizers.sql")
        query = f"SELECT number >> {SHARD_BITS} AS slice, number, position FROM shared_minimizer"
        write_slices(work, query, output / "shared", config.shards)
        return {"minimizers_shared": work.number("SELECT count(*) FROM shared_minimizer")}


def write_windows(
    given: ShardInput, verdicts: Sequence[Path], shared: Sequence[Path], output: Path, config: UnitConfig, **limits: Unpack[Limits]
) -> dict[str, float]:
    """Write slices of the windows of a shard's documents that contain a shared minimizer."""
    with open_shard(given, output, **limits) as (work, texts):
        load_verdicts(work, verdicts)
        work.run_file(SQL / "substrings.sql")
        work.connection.execute(f"CREATE TABLE shared_minimizer AS SELECT number, position FROM {parquet(shared)} ORDER BY ALL")
        add_windows(work, texts, config.rules.substring.min_words)
        return {"units": write_unit_slices(work, output, config)}


def join_passages(repeats: Sequence[Path], output: Path, config: UnitConfig, number: int, **limits: Unpack[Limits]) -> dict[str, float]:
    """Join the copies in a shard into passages; write slices of the first copies by the shard that holds them."""
    with open_database(**limits) as work:
        work.run_file(SQL / "tables.sql")
        _find_passages(work, repeats, config)
        query = f"""SELECT DISTINCT origin >> {SHARD_BITS} AS slice, origin, origin_first, words, {number} AS asking
            FROM repeated_passage"""
        write_slices(work, query, output / "origins", config.shards)
        return {"passages": work.number("SELECT count(*) FROM repeated_passage")}


def quote_passages(
    given: ShardInput, origins: Sequence[Path], output: Path, config: UnitConfig, **limits: Unpack[Limits]
) -> dict[str, float]:
    """Write slices of the digests of the first copies in a shard, by the shard that asks."""
    with open_shard(given, output, **limits) as (work, texts):
        work.run_file(SQL / "substrings.sql")
        work.connection.execute(f"CREATE VIEW repeated_passage AS FROM {parquet(origins)}")
        add_first_digests(texts)
        query = """SELECT asking AS slice, origin, origin_first, words, passage
            FROM first_copy JOIN repeated_passage USING (origin, origin_first, words)"""
        write_slices(work, query, output / "digests", config.shards)
        return {"passages": work.number("SELECT count(*) FROM first_copy")}


def cut_repeated_passages(
    given: ShardInput, repeats: Sequence[Path], digests: Sequence[Path], output: Path, config: UnitConfig, **limits: Unpack[Limits]
) -> dict[str, float]:
    """Cut the passages from a shard's documents whose words are those of their first copies."""
    turn = TURNS["substring"]
    with open_shard(given, output, **limits) as (work, texts):
        work.run_file(SQL / "substrings.sql")
        _find_passages(work, repeats, config)
        work.connection.execute(f"INSERT INTO first_copy BY NAME SELECT origin, origin_first, words, passage FROM {parquet(digests)}")
        texts.start_rule(turn)
        cut_passages(texts)
        write_edits(work, output, turn)
        return {"substrings_removed": work.number(f"SELECT sum(pieces) FROM cut WHERE turn = {turn}")}


def _find_passages(work: Database, repeats: Sequence[Path], config: UnitConfig) -> None:
    """Fill table `repeated_passage` with the passages of a shard's documents."""
    load_repeats(work, repeats)
    work.set_variables(unit_reach=config.rules.substring.min_words)
    work.run_file(SQL / "passages.sql")
