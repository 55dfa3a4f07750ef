"""The account of a finished corpus: texts are read shard by shard, and what was found in all shards is joined by ids and hashes."""

from __future__ import annotations

from collections.abc import Mapping

from data.audit.config import GRAMS, AuditConfig
from data.documents.sharding import DOCUMENTS, SHARD_DOCUMENTS
from flows.deduplication import whole
from tasks.corpus.audit import audit
from tasks.corpus.overlap import overlap
from tasks.corpus.survey import survey
from tasks.stage.store.artifact import ShardedArtifact, StageOutput

LEDGER = "ledger.parquet"


def audited(
    config: AuditConfig,
    stages: Mapping[str, ShardedArtifact | None],
    unique: StageOutput,
    splits: ShardedArtifact,
    world: StageOutput | None = None,
) -> StageOutput:
    """Measure what became of all documents, and what the splits share.

    `stages`: what each stage over shards made, by the name that the audit has for it; None for one that the recipe leaves out.
    `unique`: what deduplication left. `world`: a generated universe, whose truth shows how well its books were cleaned."""
    passed = {name: made for name, made in stages.items() if made}
    unique_texts = ShardedArtifact.of(unique, SHARD_DOCUMENTS, len(splits.items))
    texts = {name: made.part(DOCUMENTS) for name, made in passed.items()}
    train, val, test = (splits.part(f"{part}.parquet") for part in ("train", "val", "test"))
    surveyed = survey.over(len(splits.items))(config.comparing, **texts, deduplicated=unique_texts, splits=splits)
    overlaps = overlap.over(len(splits.items))(config.comparing, train=train, val=val, held_out=whole(surveyed, GRAMS))
    ledgers = {name: made.part(LEDGER) for name, made in (passed | {"splits": splits}).items()}
    return audit(
        config,
        surveyed=surveyed,
        overlaps=overlaps,
        val=val,
        test=test,
        quarantined=passed["ingested"].part("quarantine.parquet"),
        deduplicated=unique.part(LEDGER),
        **ledgers,
        truth=world and world.part("truth"),
        clean_texts=texts["cleaned"] if world else None,
        unique_texts=unique_texts if world else None,
    )
