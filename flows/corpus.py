"""Sources -> cleaned, filtered, deduplicated, leak-checked splits -> gate, and the examples that tuning learns from.

Stages that look at one document at a time run shard by shard; stages that compare documents run once, over all of them.
"""

from __future__ import annotations

from typing import NamedTuple

from flows.recipe.schema import Recipe
from tasks.corpus.audit import audit
from tasks.corpus.clean import clean
from tasks.corpus.decontaminate import decontaminate
from tasks.corpus.dedup import dedup
from tasks.corpus.examples import examples
from tasks.corpus.filter import filter
from tasks.corpus.ingest import ingest, require_texts
from tasks.corpus.quality import quality
from tasks.corpus.split import split
from tasks.corpus.synthesize import synthesize
from tasks.corpus.universe import universe
from tasks.gate import gate, require
from tasks.stage.store.artifact import ShardedArtifact, StageOutput


class Corpus(NamedTuple):
    """What later chapters use."""

    splits: StageOutput
    examples: StageOutput
    audit: StageOutput


def corpus(recipe: Recipe) -> Corpus:
    """Collect, clean, filter, deduplicate, decontaminate, split and audit; behind the gate, make the examples."""
    world = universe(recipe.universe) if recipe.universe else None
    synthetic = synthesize(recipe.synthetic) if recipe.synthetic else None
    shards = recipe.ingest.shards
    ingested = ingest.over(shards)(recipe.ingest, universe=world and world.part("books"), synthetic=synthetic)
    require_texts(recipe.ingest, ingested)
    cleaned = clean.over(shards)(recipe.clean, documents=ingested.part("documents.parquet"))
    filtered = _filtered(recipe, cleaned)
    deduplicated = dedup(recipe.dedup, documents=(filtered or cleaned).part("documents.parquet"))
    decontaminated = _decontaminated(recipe, deduplicated)
    remaining = (decontaminated or deduplicated).part("documents.parquet")
    splits = split(recipe.split, documents=remaining, clusters=deduplicated.part("clusters.parquet"))
    audited = audit(
        recipe.audit,
        ingested=ingested,
        cleaned=cleaned,
        filtered=filtered,
        deduplicated=deduplicated,
        decontaminated=decontaminated,
        splits=splits,
        truth=world and world.part("truth"),
    )
    require(gate.at("corpus")(recipe.gates.corpus, corpus=audited), recipe.gates.corpus)
    made = examples(recipe.examples, splits=splits, world=world and world.part("world.json"))
    return Corpus(splits, made, audited)


def _filtered(recipe: Recipe, cleaned: ShardedArtifact) -> ShardedArtifact | None:
    """Filter the cleaned documents; None if the recipe has no filters."""
    if not recipe.filter.active:
        return None
    classifier = quality(recipe.filter.quality.training) if recipe.filter.quality.enabled else None
    return filter.over(recipe.ingest.shards)(recipe.filter, documents=cleaned.part("documents.parquet"), classifier=classifier)


def _decontaminated(recipe: Recipe, deduplicated: StageOutput) -> StageOutput | None:
    """Remove what the recipe's evaluation sets contain; None if it names none."""
    if not recipe.decontaminate.against:
        return None
    return decontaminate(recipe.decontaminate, documents=deduplicated.part("documents.parquet"))
