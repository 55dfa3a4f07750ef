"""The stages of deduplication by partition: by shard where texts are read, by partition where they are compared."""

from __future__ import annotations

from pathlib import Path

from data.dedup.config import PartitionedConfig, UnitConfig
from tasks.lineage.hook import LineageHook, changed_texts, holds_nothing
from tasks.stage.stage import Metrics, stage


@stage(body="data.dedup.partitioned.pairs:sketch", hooks=(LineageHook(changed_texts),))
def sketch(config: PartitionedConfig, documents: Path) -> Metrics:
    """documents.parquet of a shard -> its rows, extent, edits, and slices of fingerprints, signatures and counts of words."""


@stage(body="data.dedup.partitioned.pairs:match_documents", hooks=(LineageHook(holds_nothing),))
def equal(config: PartitionedConfig, fingerprints: list[Path]) -> Metrics:
    """Slices of fingerprints -> copies.parquet: documents that are not the first of their words, and the first."""


@stage(body="data.dedup.partitioned.pairs:count_frequencies", hooks=(LineageHook(holds_nothing),))
def frequencies(config: PartitionedConfig, words: list[Path]) -> Metrics:
    """Slices of counts of words -> frequencies.parquet."""


@stage(body="data.dedup.partitioned.pairs:propose_pairs", hooks=(LineageHook(holds_nothing),))
def propose(config: PartitionedConfig, signatures: list[Path], copies: list[Path]) -> Metrics:
    """Slices of signatures, the copies of all partitions -> slices of pairs, and of the shingles wanted for them."""


@stage(body="data.dedup.partitioned.pairs:write_shingles", hooks=(LineageHook(holds_nothing),))
def shingles(config: PartitionedConfig, documents: Path, wanted: list[Path], sketched: Path) -> Metrics:
    """documents.parquet of a shard, slices of what is wanted of it -> slices of shingles."""


@stage(body="data.dedup.partitioned.pairs:verify_pairs", hooks=(LineageHook(holds_nothing),))
def similar(config: PartitionedConfig, pairs: list[Path], shingles: list[Path]) -> Metrics:
    """Slices of pairs and of shingles -> pairs.parquet, with the similarity of those that are near duplicates."""


@stage(body="data.dedup.partitioned.clusters:find_components", hooks=(LineageHook(holds_nothing),))
def components(config: PartitionedConfig, copies: list[Path], extents: list[Path], pairs: list[Path] | None = None) -> Metrics:
    """copies.parquet, pairs.parquet and extents of all -> corpus.parquet, slices of members by shard and of pairs by cluster."""


@stage(body="data.dedup.partitioned.clusters:describe_members", hooks=(LineageHook(holds_nothing),))
def members(
    config: PartitionedConfig,
    documents: Path,
    sketched: Path,
    members: list[Path],
    corpus: Path,
    frequencies: list[Path] | None = None,
) -> Metrics:
    """documents.parquet of a shard, slices of its members, frequencies of all words -> slices of rows and shingles."""


@stage(body="data.dedup.partitioned.clusters:choose_members", hooks=(LineageHook(holds_nothing),))
def choose(config: PartitionedConfig, rows: list[Path], shingles: list[Path], pairs: list[Path]) -> Metrics:
    """Slices of rows, shingles and pairs -> slices of verdicts by shard, pairs/."""


@stage(body="data.dedup.partitioned.passages:write_units", hooks=(LineageHook(holds_nothing),))
def units(config: UnitConfig, documents: Path, verdicts: list[Path], sketched: Path, paragraphs: Path | None = None) -> Metrics:
    """documents.parquet of a shard, its verdicts and edits -> slices of units by fingerprint."""


@stage(body="data.dedup.partitioned.passages:find_repeats", hooks=(LineageHook(holds_nothing),))
def repeats(config: UnitConfig, units: list[Path], copies: list[Path], pairs: list[Path] | None = None) -> Metrics:
    """Slices of units, copies of documents, pairs of near duplicates that are kept -> slices of repeats by shard."""


@stage(body="data.dedup.partitioned.passages:cut_repeats", hooks=(LineageHook(changed_texts),))
def cut(config: UnitConfig, documents: Path, repeats: list[Path], sketched: Path, paragraphs: Path | None = None) -> Metrics:
    """documents.parquet of a shard, its edits, slices of repeats -> edited.parquet, cut.parquet, removed/."""


@stage(body="data.dedup.partitioned.passages:write_minimizers", hooks=(LineageHook(holds_nothing),))
def minimizers(
    config: UnitConfig,
    documents: Path,
    verdicts: list[Path],
    sketched: Path,
    paragraphs: Path | None = None,
    lines: Path | None = None,
) -> Metrics:
    """documents.parquet of a shard, its verdicts and edits -> slices of minimizers."""


@stage(body="data.dedup.partitioned.passages:find_shared", hooks=(LineageHook(holds_nothing),))
def shared(config: UnitConfig, minimizers: list[Path]) -> Metrics:
    """Slices of minimizers -> slices of the places of shared ones by shard."""


@stage(body="data.dedup.partitioned.passages:write_windows", hooks=(LineageHook(holds_nothing),))
def windows(
    config: UnitConfig,
    documents: Path,
    verdicts: list[Path],
    shared: list[Path],
    sketched: Path,
    paragraphs: Path | None = None,
    lines: Path | None = None,
) -> Metrics:
    """documents.parquet of a shard, its verdicts and edits, slices of shared minimizers -> slices of units."""


@stage(body="data.dedup.partitioned.passages:join_passages", hooks=(LineageHook(holds_nothing),))
def passages(config: UnitConfig, repeats: list[Path]) -> Metrics:
    """Slices of repeats -> slices of first copies by the shard that holds them."""


@stage(body="data.dedup.partitioned.passages:quote_passages", hooks=(LineageHook(holds_nothing),))
def quotes(
    config: UnitConfig,
    documents: Path,
    origins: list[Path],
    sketched: Path,
    paragraphs: Path | None = None,
    lines: Path | None = None,
) -> Metrics:
    """documents.parquet of a shard, its edits, slices of first copies -> slices of digests by the shard that asks."""


@stage(body="data.dedup.partitioned.passages:cut_repeated_passages", hooks=(LineageHook(changed_texts),))
def cut_passages(
    config: UnitConfig,
    documents: Path,
    repeats: list[Path],
    digests: list[Path],
    sketched: Path,
    paragraphs: Path | None = None,
    lines: Path | None = None,
) -> Metrics:
    """documents.parquet of a shard, its edits, slices of repeats and digests -> edited.parquet, cut.parquet, removed/."""


@stage(body="data.dedup.partitioned.account:write_account", hooks=(LineageHook(changed_texts),))
def account(
    config: PartitionedConfig,
    documents: Path,
    verdicts: list[Path],
    sketched: Path,
    paragraphs: Path | None = None,
    lines: Path | None = None,
    passages: Path | None = None,
) -> Metrics:
    """documents.parquet of a shard, its verdicts and edits -> documents, clusters and ledger.parquet, removed/."""
