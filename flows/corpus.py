"""Sources -> cleaned, filtered, deduplicated, leak-checked splits -> gate, and the examples that tuning learns from.

Stages that look at one document at a time run shard by shard; stages that compare documents run once, over all of them. Deduplication can
do so by partition.
"""

from __future__ import annotations

from typing import NamedTuple

from data.examples.config import ConversationExamples
from data.tokens.config import CONVERSATIONS
from flows.deduplication import deduplicated
from flows.recipe.schema import Recipe
from tasks.corpus.audit import audit
from tasks.corpus.census import census
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
from tasks.corpus.unpack import unpacked
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
    books = world and world.part("books")
    ingested = ingest.over(shards)(recipe.ingest, universe=books, synthetic=synthetic, unpacked=unpacked(recipe.ingest))
    require_texts(recipe.ingest, ingested)
    if recipe.ingest.has_entries:
        census(recipe.ingest, ingested=ingested)
    cleaned = clean.over(shards)(recipe.clean, documents=ingested.part("documents.parquet"))
    filtered = _filtered(recipe, cleaned)
    unique = deduplicated(recipe.dedup, (filtered or cleaned).part("documents.parquet"))
    decontaminated = _decontaminated(recipe, unique)
    remaining = (decontaminated or unique).part("documents.parquet")
    splits = split(recipe.split, documents=remaining, clusters=unique.part("clusters.parquet"))
    audited = audit(
        recipe.audit,
        ingested=ingested,
        cleaned=cleaned,
        filtered=filtered,
        deduplicated=unique,
        decontaminated=decontaminated,
        splits=splits,
        truth=world and world.part("truth"),
    )
    require(gate.at("corpus")(recipe.gates.corpus, corpus=audited), recipe.gates.corpus)
    return Corpus(splits, _examples(recipe, splits, world), audited)


def _examples(recipe: Recipe, splits: StageOutput, world: StageOutput | None) -> StageOutput:
    """Generate examples, read conversations, or do both and mix them."""
    truth = world and world.part("world.json")
    if not isinstance(recipe.examples, ConversationExamples):
        return examples(recipe.examples, splits=splits, world=truth)
    generated = None
    if recipe.examples.generated is not None:
        generated = examples.at("generated")(recipe.examples.generated, splits=splits, world=truth)
    return examples(recipe.examples, splits=_conversations(recipe, recipe.examples, splits, generated), generated=generated)


def _conversations(recipe: Recipe, config: ConversationExamples, splits: StageOutput, generated: StageOutput | None) -> StageOutput:
    """Read, deduplicate, decontaminate and split conversations by the stages that books pass."""
    reading = config.reading(recipe.ingest.without)
    ingested = ingest.at(CONVERSATIONS).over(reading.shards)(reading)
    require_texts(reading, ingested)
    unique = dedup.at(CONVERSATIONS)(config.deduplicating, documents=ingested.part("documents.parquet"))
    remaining = unique.part("documents.parquet")
    if config.decontaminate:
        # With all_train, test is a copy of train, so mentioning it is not a leak.
        test = splits.part("test.parquet") if recipe.split.mode != "all_train" else None
        questions = generated and generated.part("questions_heldout.jsonl")
        dropping = recipe.decontaminate.model_copy(update={"action": "drop"})
        clean_of = decontaminate.at(CONVERSATIONS)(dropping, documents=remaining, test=test, questions=questions)
        remaining = clean_of.part("documents.parquet")
    return split.at(CONVERSATIONS)(config.splitting, documents=remaining, clusters=unique.part("clusters.parquet"))


def _filtered(recipe: Recipe, cleaned: ShardedArtifact) -> ShardedArtifact | None:
    """Filter the cleaned documents; None if the recipe has no filters."""
    if not recipe.filter.active:
        return None
    classifier = quality(recipe.filter.quality.training) if recipe.filter.quality.enabled else None
    return filter.over(recipe.ingest.shards)(recipe.filter, documents=cleaned.part("documents.parquet"), classifier=classifier)


def _decontaminated(recipe: Recipe, unique: StageOutput) -> StageOutput | None:
    """Remove what the recipe's evaluation sets contain; None if it names none."""
    if not recipe.decontaminate.against:
        return None
    return decontaminate(recipe.decontaminate, documents=unique.part("documents.parquet"))
