"""Repeated paragraphs and lines: units by shard, their copies by partition of fingerprints, cuts by shard.

A row of a unit names its document and the cluster that counts as its holder, so a partition looks nothing up about documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from data.dedup.config import UnitRule
from data.dedup.near import set_near_variables
from data.dedup.partitioned.config import UnitConfig
from data.dedup.partitioned.shard import TURNS, ShardInput, load_names, load_verdicts, open_shard, write_edits
from data.dedup.partitioned.tables import SHARD_BITS, load_heads
from data.dedup.sql import SQL
from data.dedup.substrings import find_copied_windows
from data.dedup.units import LINE, PARAGRAPH, collect_units, cut_units, find_copied_units
from data.documents.database import Database, Limits, open_database, parquet
from data.documents.slices import write_slices

UNITS = {unit.name: unit for unit in (PARAGRAPH, LINE)}
# Parquet has no integers of 128 bits.
_JOINED = "(high::UHUGEINT << 64) + low"


def write_units(
    given: ShardInput, verdicts: Sequence[Path], output: Path, config: UnitConfig, **limits: Unpack[Limits]
) -> dict[str, float]:
    """Write slices of the paragraphs or lines of a shard's documents that stay."""
    with open_shard(given, output, **limits) as (work, texts):
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
    units: Sequence[Path], copies: Sequence[Path], pairs: Sequence[Path], output: Path, config: UnitConfig, **limits: Unpack[Limits]
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


def cut_repeats(given: ShardInput, repeats: Sequence[Path], output: Path, config: UnitConfig, **limits: Unpack[Limits]) -> dict[str, float]:
    """Cut the copies of paragraphs or lines from a shard's documents."""
    turn = TURNS[config.unit]
    with open_shard(given, output, **limits) as (work, texts):
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
