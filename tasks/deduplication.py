"""The stages of deduplication by partition: by shard where texts are read, by partition where they are compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from data.dedup.config import PartitionedConfig, UnitConfig
from tasks.lineage.hook import LineageHook, changed_texts, holds_nothing
from tasks.stage.stage import Metrics, Workspace, stage

if TYPE_CHECKING:
    from data.dedup.partitioned.shard import ShardInput


def shard_number(work: Workspace) -> int:
    """Return the number of the shard that a body works on. Raises ValueError if it works on all."""
    if work.shard is None:
        raise ValueError("documents are numbered by shard; call the stage .over(shards)")
    return work.shard.number


def shard_input(work: Workspace, documents: Path, *steps: Path | None) -> ShardInput:
    """Return a shard's documents with what earlier steps changed in them; None stands for a step that the recipe leaves out."""
    from data.dedup.partitioned.shard import ShardInput

    return ShardInput(documents, [step for step in steps if step is not None], shard_number(work))


@stage(hooks=(LineageHook(changed_texts),))
def sketch(config: PartitionedConfig, work: Workspace, documents: Path) -> Metrics:
    """documents.parquet of a shard -> its rows, extent, edits, and slices of fingerprints, signatures and counts of words."""
    from data.dedup.partitioned.pairs import sketch as sketch_shard

    return sketch_shard(documents, work.output, config, shard_number(work), **work.limits)


@stage(hooks=(LineageHook(holds_nothing),))
def equal(config: PartitionedConfig, work: Workspace, fingerprints: list[Path]) -> Metrics:
    """Slices of fingerprints -> copies.parquet: documents that are not the first of their words, and the first."""
    from data.dedup.partitioned.pairs import match_documents

    return match_documents(fingerprints, work.output, **work.limits)


@stage(hooks=(LineageHook(holds_nothing),))
def frequencies(config: PartitionedConfig, work: Workspace, words: list[Path]) -> Metrics:
    """Slices of counts of words -> frequencies.parquet."""
    from data.dedup.partitioned.pairs import count_frequencies

    return count_frequencies(words, work.output, **work.limits)


@stage(hooks=(LineageHook(holds_nothing),))
def propose(config: PartitionedConfig, work: Workspace, signatures: list[Path], copies: list[Path]) -> Metrics:
    """Slices of signatures, the copies of all partitions -> slices of pairs, and of the shingles wanted for them."""
    from data.dedup.partitioned.pairs import propose_pairs

    return propose_pairs(signatures, copies, work.output, config, **work.limits)


@stage(hooks=(LineageHook(holds_nothing),))
def shingles(config: PartitionedConfig, work: Workspace, documents: Path, wanted: list[Path], sketched: Path) -> Metrics:
    """documents.parquet of a shard, slices of what is wanted of it -> slices of shingles."""
    from data.dedup.partitioned.pairs import write_shingles

    return write_shingles(shard_input(work, documents, sketched), wanted, work.output, config, **work.limits)


@stage(hooks=(LineageHook(holds_nothing),))
def similar(config: PartitionedConfig, work: Workspace, pairs: list[Path], shingles: list[Path]) -> Metrics:
    """Slices of pairs and of shingles -> pairs.parquet, with the similarity of those that are near duplicates."""
    from data.dedup.partitioned.pairs import verify_pairs

    return verify_pairs(pairs, shingles, work.output, config, **work.limits)


@stage(hooks=(LineageHook(holds_nothing),))
def components(
    config: PartitionedConfig, work: Workspace, copies: list[Path], extents: list[Path], pairs: list[Path] | None = None
) -> Metrics:
    """copies.parquet, pairs.parquet and extents of all -> corpus.parquet, slices of members by shard and of pairs by cluster."""
    from data.dedup.partitioned.clusters import find_components

    return find_components(copies, pairs or (), extents, work.output, config, **work.limits)


@stage(hooks=(LineageHook(holds_nothing),))
def members(
    config: PartitionedConfig,
    work: Workspace,
    documents: Path,
    sketched: Path,
    members: list[Path],
    corpus: Path,
    frequencies: list[Path] | None = None,
) -> Metrics:
    """documents.parquet of a shard, slices of its members, frequencies of all words -> slices of rows and shingles."""
    from data.dedup.partitioned.clusters import describe_members

    return describe_members(shard_input(work, documents, sketched), members, frequencies or (), corpus, work.output, config, **work.limits)


@stage(hooks=(LineageHook(holds_nothing),))
def choose(config: PartitionedConfig, work: Workspace, rows: list[Path], shingles: list[Path], pairs: list[Path]) -> Metrics:
    """Slices of rows, shingles and pairs -> slices of verdicts by shard, pairs/."""
    from data.dedup.partitioned.clusters import choose_members

    return choose_members(rows, shingles, pairs, work.output, config, **work.limits)


@stage(hooks=(LineageHook(holds_nothing),))
def units(
    config: UnitConfig, work: Workspace, documents: Path, verdicts: list[Path], sketched: Path, paragraphs: Path | None = None
) -> Metrics:
    """documents.parquet of a shard, its verdicts and edits -> slices of units by fingerprint."""
    from data.dedup.partitioned.passages import write_units

    return write_units(shard_input(work, documents, sketched, paragraphs), verdicts, work.output, config, **work.limits)


@stage(hooks=(LineageHook(holds_nothing),))
def repeats(config: UnitConfig, work: Workspace, units: list[Path], copies: list[Path], pairs: list[Path] | None = None) -> Metrics:
    """Slices of units, copies of documents, pairs of near duplicates that are kept -> slices of repeats by shard."""
    from data.dedup.partitioned.passages import find_repeats

    return find_repeats(units, copies, pairs or (), work.output, config, **work.limits)


@stage(hooks=(LineageHook(changed_texts),))
def cut(
    config: UnitConfig, work: Workspace, documents: Path, repeats: list[Path], sketched: Path, paragraphs: Path | None = None
) -> Metrics:
    """documents.parquet of a shard, its edits, slices of repeats -> edited.parquet, cut.parquet, removed/."""
    from data.dedup.partitioned.passages import cut_repeats

    return cut_repeats(shard_input(work, documents, sketched, paragraphs), repeats, work.output, config, **work.limits)


@stage(hooks=(LineageHook(holds_nothing),))
def minimizers(
    config: UnitConfig,
    work: Workspace,
    documents: Path,
    verdicts: list[Path],
    sketched: Path,
    paragraphs: Path | None = None,
    lines: Path | None = None,
) -> Metrics:
    """documents.parquet of a shard, its verdicts and edits -> slices of minimizers."""
    from data.dedup.partitioned.passages import write_minimizers

    return write_minimizers(shard_input(work, documents, sketched, paragraphs, lines), verdicts, work.output, config, **work.limits)


@stage(hooks=(LineageHook(holds_nothing),))
def shared(config: UnitConfig, work: Workspace, minimizers: list[Path]) -> Metrics:
    """Slices of minimizers -> slices of the places of shared ones by shard."""
    from data.dedup.partitioned.passages import find_shared

    return find_shared(minimizers, work.output, config, **work.limits)


@stage(hooks=(LineageHook(holds_nothing),))
def windows(
    config: UnitConfig,
    work: Workspace,
    documents: Path,
    verdicts: list[Path],
    shared: list[Path],
    sketched: Path,
    paragraphs: Path | None = None,
    lines: Path | None = None,
) -> Metrics:
    """documents.parquet of a shard, its verdicts and edits, slices of shared minimizers -> slices of units."""
    from data.dedup.partitioned.passages import write_windows

    return write_windows(shard_input(work, documents, sketched, paragraphs, lines), verdicts, shared, work.output, config, **work.limits)


@stage(hooks=(LineageHook(holds_nothing),))
def passages(config: UnitConfig, work: Workspace, repeats: list[Path]) -> Metrics:
    """Slices of repeats -> slices of first copies by the shard that holds them."""
    from data.dedup.partitioned.passages import join_passages

    return join_passages(repeats, work.output, config, shard_number(work), **work.limits)


@stage(hooks=(LineageHook(holds_nothing),))
def quotes(
    config: UnitConfig,
    work: Workspace,
    documents: Path,
    origins: list[Path],
    sketched: Path,
    paragraphs: Path | None = None,
    lines: Path | None = None,
) -> Metrics:
    """documents.parquet of a shard, its edits, slices of first copies -> slices of digests by the shard that asks."""
    from data.dedup.partitioned.passages import quote_passages

    return quote_passages(shard_input(work, documents, sketched, paragraphs, lines), origins, work.output, config, **work.limits)


@stage(hooks=(LineageHook(changed_texts),))
def cut_passages(
    config: UnitConfig,
    work: Workspace,
    documents: Path,
    repeats: list[Path],
    digests: list[Path],
    sketched: Path,
    paragraphs: Path | None = None,
    lines: Path | None = None,
) -> Metrics:
    """documents.parquet of a shard, its edits, slices of repeats and digests -> edited.parquet, cut.parquet, removed/."""
    from data.dedup.partitioned.passages import cut_repeated_passages

    return cut_repeated_passages(
        shard_input(work, documents, sketched, paragraphs, lines), repeats, digests, work.output, config, **work.limits
    )


@stage(hooks=(LineageHook(changed_texts),))
def account(
    config: PartitionedConfig,
    work: Workspace,
    documents: Path,
    verdicts: list[Path],
    sketched: Path,
    paragraphs: Path | None = None,
    lines: Path | None = None,
    passages: Path | None = None,
) -> Metrics:
    """documents.parquet of a shard, its verdicts and edits -> documents, clusters and ledger.parquet, removed/."""
    from data.dedup.partitioned.account import write_account

    return write_account(shard_input(work, documents, sketched, paragraphs, lines, passages), verdicts, work.output, **work.limits)
