"""Sources -> cleaned, filtered, deduplicated, leak-checked splits -> gate, and the examples that tuning learns from.

Texts stay in their shards: stages that look at one document at a time run shard by shard, and what no shard can know alone is a stage over
ids and numbers. Deduplication compares all texts in one stage, or by partition.
"""

from __future__ import annotations

from typing import NamedTuple

from data.documents.sharding import DOCUMENTS, SHARD_DOCUMENTS, SHARD_SIZES, SIZES_FILE
from data.examples.config import ConversationExamples
from data.tokens.config import CONVERSATIONS
from flows.accounting import audited
from flows.deduplication import deduplicated, whole
from flows.division import decontaminated, divided
from flows.recipe.schema import Recipe
from tasks.corpus.census import census
from tasks.corpus.clean import clean
from tasks.corpus.dedup import dedup
from tasks.corpus.examples import examples
from tasks.corpus.filter import filter
from tasks.corpus.ingest import ingest, require_texts
from tasks.corpus.quality import quality
from tasks.corpus.synthesize import synthesize
from tasks.corpus.universe import universe
from tasks.corpus.unpack import unpacked
from tasks.gate import gate, require
from tasks.stage.store.artifact import ShardedArtifact, StageOutput


class Corpus(NamedTuple):
    """What later chapters use."""

    splits: ShardedArtifact
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
    cleaned = clean.over(shards)(recipe.clean, documents=ingested.part(DOCUMENTS))
    filtered = _filtered(recipe, cleaned)
    unique = deduplicated(recipe.dedup, (filtered or cleaned).part(DOCUMENTS))
    texts, sizes = (ShardedArtifact.of(unique, name, shards) for name in (SHARD_DOCUMENTS, SHARD_SIZES))
    cut = decontaminated(recipe.decontaminate, texts) if recipe.decontaminate.against else None
    if cut is not None:
        texts, sizes = cut.part(DOCUMENTS), cut.part(SIZES_FILE)
    splits = divided(recipe.split, unique, texts, sizes)
    stages = {"ingested": ingested, "cleaned": cleaned, "filtered": filtered, "decontaminated": cut}
    account = audited(recipe.audit, stages, unique, splits, world)
    require(gate.at("corpus")(recipe.gates.corpus, corpus=account), recipe.gates.corpus)
    return Corpus(splits, _examples(recipe, splits, world), account)


def _examples(recipe: Recipe, splits: ShardedArtifact, world: StageOutput | None) -> StageOutput:
    """Generate examples, read conversations, or do both and mix them."""
    truth = world and world.part("world.json")
    if not isinstance(recipe.examples, ConversationExamples):
        return examples(recipe.examples, splits=splits, world=truth)
    generated = None
    if recipe.examples.generated is not None:
        generated = examples.at("generated")(recipe.examples.generated, splits=splits, world=truth)
    return examples(recipe.examples, splits=_conversations(recipe, recipe.examples, splits, generated), generated=generated)


def _conversations(recipe: Recipe, config: ConversationExamples, splits: ShardedArtifact, generated: StageOutput | None) -> ShardedArtifact:
    """Read, deduplicate, decontaminate and split conversations by the stages that books pass."""
    reading = config.reading(recipe.ingest.without)
    ingested = ingest.at(CONVERSATIONS).over(reading.shards)(reading)
    require_texts(reading, ingested)
    unique = dedup.at(CONVERSATIONS)(config.deduplicating, documents=ingested.part(DOCUMENTS))
    texts, sizes = (ShardedArtifact.of(unique, name, reading.shards) for name in (SHARD_DOCUMENTS, SHARD_SIZES))
    if config.decontaminate:
        # With all_train, test is a copy of train, so mentioning it is not a leak.
        test = whole(splits, "test.parquet") if recipe.split.mode != "all_train" else None
        questions = generated and generated.part("questions_heldout.jsonl")
        dropping = recipe.decontaminate.model_copy(update={"action": "drop"})
        cleaned = decontaminated(dropping, texts, CONVERSATIONS, test=test, questions=questions)
        texts, sizes = cleaned.part(DOCUMENTS), cleaned.part(SIZES_FILE)
    return divided(config.splitting, unique, texts, sizes, CONVERSATIONS)


def _filtered(recipe: Recipe, cleaned: ShardedArtifact) -> ShardedArtifact | None:
    """Filter the cleaned documents; None if the recipe has no filters."""
    if not recipe.filter.active:
        return None
    classifier = quality(recipe.filter.quality.training) if recipe.filter.quality.enabled else None
    return filter.over(recipe.ingest.shards)(recipe.filter, documents=cleaned.part(DOCUMENTS), classifier=classifier)
