"""Deduplication: in one task, or by partition in tasks that any worker may take.

A stage over shards reads texts and hands each partition its slice of what must be compared; a stage over partitions compares it and hands
each shard its slice of what was found. Both ways write the same bytes.
"""

from __future__ import annotations

from typing import NamedTuple

from data.dedup.config import DedupConfig
from data.dedup.partitioned.config import PartitionedConfig, Unit, UnitConfig, rules_of
from data.documents.sharding import SLICE
from tasks.corpus.dedup import dedup
from tasks.corpus.partitioned.account import account
from tasks.corpus.partitioned.choose import choose
from tasks.corpus.partitioned.components import components
from tasks.corpus.partitioned.cut import cut
from tasks.corpus.partitioned.cut_passages import cut_passages
from tasks.corpus.partitioned.equal import equal
from tasks.corpus.partitioned.frequencies import frequencies
from tasks.corpus.partitioned.members import members
from tasks.corpus.partitioned.minimizers import minimizers
from tasks.corpus.partitioned.passages import passages
from tasks.corpus.partitioned.propose import propose
from tasks.corpus.partitioned.quotes import quotes
from tasks.corpus.partitioned.repeats import repeats
from tasks.corpus.partitioned.shared import shared
from tasks.corpus.partitioned.shingles import shingles
from tasks.corpus.partitioned.similar import similar
from tasks.corpus.partitioned.sketch import sketch
from tasks.corpus.partitioned.units import units
from tasks.corpus.partitioned.windows import windows
from tasks.stage.store.artifact import ShardedArtifact, SlicedArtifact, StageOutput

PAIRS = "pairs.parquet"


class Compared(NamedTuple):
    """What comparing documents found. `pairs`: all candidates, None if near duplicates aren't looked for."""

    sketched: ShardedArtifact
    copies: SlicedArtifact
    pairs: ShardedArtifact | None
    chosen: ShardedArtifact
    verdicts: SlicedArtifact


def deduplicated(rules: DedupConfig, documents: ShardedArtifact) -> StageOutput:
    """Remove copies from the documents of all shards."""
    if rules.partitions == 1:
        return dedup(rules, documents=documents)
    config = PartitionedConfig(rules=rules_of(rules), shards=len(documents.items), partitions=rules.partitions)
    found = _compared(config, documents)
    edits = {"sketched": found.sketched}
    if rules.paragraph.enabled:
        edits["paragraphs"] = _without_units("paragraph", rules, documents, found, edits)
    if rules.line.enabled:
        edits["lines"] = _without_units("line", rules, documents, found, edits)
    if rules.substring.enabled:
        edits["passages"] = _without_passages(rules, documents, found, edits)
    accounts = account.over(config.shards)(config, documents=documents, verdicts=found.verdicts, **edits)
    compared = found.pairs and found.pairs.part(PAIRS)
    return dedup(rules, documents=documents, accounts=accounts, pairs=found.chosen.part("pairs"), compared=compared)


def _compared(config: PartitionedConfig, documents: ShardedArtifact) -> Compared:
    """Compare whole documents, and choose which copies stay."""
    rules, shards, partitions = config.rules, config.shards, config.partitions
    sketched = sketch.over(shards)(config, documents=documents)
    copies = whole(equal.over(partitions)(config, fingerprints=_slices(sketched, "fingerprints")), "copies.parquet")
    pairs = None
    if rules.near.enabled:
        proposed = propose.over(partitions)(config, signatures=_slices(sketched, "signatures"), copies=copies)
        sets = shingles.over(shards)(config, documents=documents, sketched=sketched, wanted=_slices(proposed, "wanted"))
        pairs = similar.over(partitions)(config, pairs=_slices(proposed, "pairs"), shingles=_slices(sets, "shingles"))
    known = None
    if "known_words" in rules.keep:
        known = whole(frequencies.over(partitions)(config, words=_slices(sketched, "words")), "frequencies.parquet")
    connected = components(config, copies=copies.of(0), pairs=pairs and pairs.part(PAIRS), extents=sketched.part("extent.parquet"))
    clusters = ShardedArtifact(position=components.position, items=(connected,))
    described = members.over(shards)(
        config,
        documents=documents,
        sketched=sketched,
        members=_slices(clusters, "members"),
        corpus=connected.part("corpus.parquet"),
        frequencies=known,
    )
    chosen = choose.over(partitions)(
        config, rows=_slices(described, "rows"), shingles=_slices(described, "shingles"), pairs=_slices(clusters, "pairs")
    )
    return Compared(sketched, copies, pairs, chosen, _slices(chosen, "verdicts"))


def _without_units(
    unit: Unit, rules: DedupConfig, documents: ShardedArtifact, found: Compared, edits: dict[str, ShardedArtifact]
) -> ShardedArtifact:
    """Cut repeated paragraphs or lines."""
    config = _unit_config(unit, rules, documents)
    collected = units.at(unit).over(config.shards)(config, documents=documents, verdicts=found.verdicts, **edits)
    copied = _repeats(config, collected, found)
    return cut.at(unit).over(config.shards)(config, documents=documents, repeats=copied, **edits)


def _without_passages(
    rules: DedupConfig, documents: ShardedArtifact, found: Compared, edits: dict[str, ShardedArtifact]
) -> ShardedArtifact:
    """Cut repeated passages."""
    config = _unit_config("substring", rules, documents)
    shards, verdicts = config.shards, found.verdicts
    chosen = minimizers.over(shards)(config, documents=documents, verdicts=verdicts, **edits)
    places = _slices(shared.over(config.partitions)(config, minimizers=_slices(chosen, "minimizers")), "shared")
    collected = windows.over(shards)(config, documents=documents, verdicts=verdicts, shared=places, **edits)
    copied = _repeats(config, collected, found)
    origins = _slices(passages.over(shards)(config, repeats=copied), "origins")
    digests = _slices(quotes.over(shards)(config, documents=documents, origins=origins, **edits), "digests")
    return cut_passages.over(shards)(config, documents=documents, repeats=copied, digests=digests, **edits)


def _unit_config(unit: Unit, rules: DedupConfig, documents: ShardedArtifact) -> UnitConfig:
    return UnitConfig(rules=rules_of(rules, unit), shards=len(documents.items), partitions=rules.partitions, unit=unit)


def _repeats(config: UnitConfig, collected: ShardedArtifact, found: Compared) -> SlicedArtifact:
    """Find the copies of units. Near duplicates that are kept on purpose lose none to each other."""
    kept = whole(found.pairs, PAIRS) if found.pairs and config.rules.near.action == "cluster" else None
    stage = repeats.at(config.unit).over(config.partitions)
    return _slices(stage(config, units=_slices(collected, "units"), copies=found.copies, pairs=kept), "repeats")


def _slices(made: ShardedArtifact, folder: str) -> SlicedArtifact:
    """Give each shard or partition its slice of every item."""
    return SlicedArtifact(made=made, name=f"{folder}/{SLICE}")


def whole(made: ShardedArtifact, file: str) -> SlicedArtifact:
    """Give every shard or partition the file of every item."""
    return SlicedArtifact(made=made, name=file)
