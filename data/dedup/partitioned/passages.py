"""Repeated paragraphs, lines and passages by partition: units and minimizers by shard, what is shared by partition, cuts by shard.

Repeated passages: minimizers by shard, shared ones by partition, windows by shard, their copies by partition, passages by shard.
Neighbouring copies are joined where all of a document's are, in its shard. The shard of a first copy answers with the digest of its words,
so words are compared before anything is cut, and none travel.

Repeated paragraphs and lines: units by shard, their copies by partition of fingerprints, cuts by shard.

A row of a unit names its document and the cluster that counts as its holder, so a partition looks nothing up about documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from data.dedup.config import UnitConfig, UnitRule
from data.dedup.near import set_near_variables
from data.dedup.partitioned.shard import SHARD_BITS, TURNS, load_heads, load_names, load_verdicts, open_shard, shard_input, write_edits
from data.dedup.repeats import (
    LINE,
    PARAGRAPH,
    add_first_digests,
    add_minimizers,
    add_windows,
    collect_units,
    cut_passages,
    cut_units,
    find_copied_units,
    find_copied_windows,
)
from data.dedup.sql import SQL
from data.documents.database import Database, Limits, open_database, parquet
from data.documents.sharding import CorpusShard
from data.documents.slices import write_slices

UNITS = {unit.name: unit for unit in (PARAGRAPH, LINE)}
# Parquet has no integers of 128 bits.
_JOINED = "(high::UHUGEINT << 64) + low"


def write_units(
    documents: Path,
    verdicts: Sequence[Path],
    output: Path,
    config: UnitConfig,
    shard: CorpusShard | None,
    sketched: Path,
    paragraphs: Path | None = None,
    **limits: Unpack[Limits],
) -> dict[str, float]:
    """Write slices of the paragraphs or lines of a shard's documents that stay."""
    with open_shard(shard_input(documents, shard, sketched, paragraphs), output, **limits) as (work, texts):
        load_verdicts(work, verdicts)
        collect_units(work, texts, _rule(config), UNITS[config.unit])
        return {"units": write_unit_slices(work, output, config)}


def write_unit_slices(work: Database, output: Path, config: UnitConfig) -> float:
    """Write slices of table `unit` by fingerprint, and return how many rows it has."""
    divided = "SELECT *, (fingerprint >> 64)::UBIGINT AS high, (fingerprint & 18446744073709551615)::UBIGINT AS low FROM wide"
    query = f"""WITH wide AS (SELECT number, position, fingerprint::UHUGEINT AS fingerprint FROM unit)
        SELECT low % {config.partitions} AS slice, number, position, high, low, id, cluster FROM ({divided}) JOIN verdict USING (number)"""
    write_slices(work, query, output / "units", config.partitions)
    return work.number("SELECT count(*) FROM unit")


def find_repeats(
    units: Sequence[Path], copies: Sequence[Path], output: Path, config: UnitConfig, pairs: Sequence[Path] = (), **limits: Unpack[Limits]
) -> dict[str, float]:
    """Find the copies of a partition's units; write slices of them by shard. `pairs`: those of all near duplicates that are kept."""
    with open_database(**limits) as work:
        work.run_file(SQL / "tables.sql")
        set_near_variables(work, config.rules.near)
        work.connection.execute(f"CREATE TABLE unit AS SELECT number, position, {_JOINED} AS fingerprint FROM {parquet(units)}")
        work.connection.execute(f"CREATE TABLE verdict AS SELECT DISTINCT number, id, cluster FROM {parquet(units)}")
        load_heads(work, copies, "SELECT number FROM verdict")
        if pairs:
            work.connection.execute(f"INSERT INTO near_pair SELECT a, b, jaccard FROM {parquet(pairs)} WHERE jaccard IS NOT NULL")
        if config.unit == "substring":
            find_copied_windows(work, config.rules.substring)
        else:
            find_copied_units(work, _rule(config))
        query = f"""SELECT copy.number >> {SHARD_BITS} AS slice, copy.number, position, origin, origin_position, id AS origin_id
            FROM copy JOIN verdict ON verdict.number = origin"""
        write_slices(work, query, output / "repeats", config.shards)
        return {"copies": work.number("SELECT count(*) FROM copy")}


def cut_repeats(
    documents: Path,
    repeats: Sequence[Path],
    output: Path,
    config: UnitConfig,
    shard: CorpusShard | None,
    sketched: Path,
    paragraphs: Path | None = None,
    **limits: Unpack[Limits],
) -> dict[str, float]:
    """Cut the copies of paragraphs or lines from a shard's documents."""
    turn = TURNS[config.unit]
    with open_shard(shard_input(documents, shard, sketched, paragraphs), output, **limits) as (work, texts):
        load_repeats(work, repeats)
        texts.start_rule(turn)
        cut_units(texts, UNITS[config.unit])
        write_edits(work, output, turn)
        return {f"{config.unit}s_removed": work.number(f"SELECT sum(pieces) FROM cut WHERE turn = {turn}")}


def load_repeats(work: Database, repeats: Sequence[Path]) -> None:
    """Fill table `copy`, and add the documents of first copies to `document`."""
    work.connection.execute(f"CREATE TABLE copy AS SELECT number, position, origin, origin_position FROM {parquet(repeats)}")
    load_names(work, f"SELECT origin AS number, origin_id AS id FROM {parquet(repeats)}")


def _rule(config: UnitConfig) -> UnitRule:
    return config.rules.paragraph if config.unit == "paragraph" else config.rules.line


def write_minimizers(
    documents: Path,
    verdicts: Sequence[Path],
    output: Path,
    config: UnitConfig,
    shard: CorpusShard | None,
    sketched: Path,
    paragraphs: Path | None = None,
    lines: Path | None = None,
    **limits: Unpack[Limits],
) -> dict[str, float]:
    """Write slices of the minimizers of a shard's documents that stay."""
    with open_shard(shard_input(documents, shard, sketched, paragraphs, lines), output, **limits) as (work, texts):
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
    documents: Path,
    verdicts: Sequence[Path],
    shared: Sequence[Path],
    output: Path,
    config: UnitConfig,
    shard: CorpusShard | None,
    sketched: Path,
    paragraphs: Path | None = None,
    lines: Path | None = None,
    **limits: Unpack[Limits],
) -> dict[str, float]:
    """Write slices of the windows of a shard's documents that contain a shared minimizer."""
    with open_shard(shard_input(documents, shard, sketched, paragraphs, lines), output, **limits) as (work, texts):
        load_verdicts(work, verdicts)
        work.run_file(SQL / "substrings.sql")
        work.connection.execute(f"CREATE TABLE shared_minimizer AS SELECT number, position FROM {parquet(shared)} ORDER BY ALL")
        add_windows(work, texts, config.rules.substring.min_words)
        return {"units": write_unit_slices(work, output, config)}


def join_passages(
    repeats: Sequence[Path], output: Path, config: UnitConfig, shard: CorpusShard, **limits: Unpack[Limits]
) -> dict[str, float]:
    """Join the copies in a shard into passages; write slices of the first copies by the shard that holds them."""
    with open_database(**limits) as work:
        work.run_file(SQL / "tables.sql")
        _find_passages(work, repeats, config)
        query = f"""SELECT DISTINCT origin >> {SHARD_BITS} AS slice, origin, origin_first, words, {shard.number} AS asking
            FROM repeated_passage"""
        write_slices(work, query, output / "origins", config.shards)
        return {"passages": work.number("SELECT count(*) FROM repeated_passage")}


def quote_passages(
    documents: Path,
    origins: Sequence[Path],
    output: Path,
    config: UnitConfig,
    shard: CorpusShard | None,
    sketched: Path,
    paragraphs: Path | None = None,
    lines: Path | None = None,
    **limits: Unpack[Limits],
) -> dict[str, float]:
    """Write slices of the digests of the first copies in a shard, by the shard that asks."""
    with open_shard(shard_input(documents, shard, sketched, paragraphs, lines), output, **limits) as (work, texts):
        work.run_file(SQL / "substrings.sql")
        work.connection.execute(f"CREATE VIEW repeated_passage AS FROM {parquet(origins)}")
        add_first_digests(texts)
        query = """SELECT asking AS slice, origin, origin_first, words, passage
            FROM first_copy JOIN repeated_passage USING (origin, origin_first, words)"""
        write_slices(work, query, output / "digests", config.shards)
        return {"passages": work.number("SELECT count(*) FROM first_copy")}


def cut_repeated_passages(
    documents: Path,
    repeats: Sequence[Path],
    digests: Sequence[Path],
    output: Path,
    config: UnitConfig,
    shard: CorpusShard | None,
    sketched: Path,
    paragraphs: Path | None = None,
    lines: Path | None = None,
    **limits: Unpack[Limits],
) -> dict[str, float]:
    """Cut the passages from a shard's documents whose words are those of their first copies."""
    turn = TURNS["substring"]
    with open_shard(shard_input(documents, shard, sketched, paragraphs, lines), output, **limits) as (work, texts):
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
