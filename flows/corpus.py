"""Sources -> cleaned, deduplicated, leak-checked splits, and the examples that tuning learns from."""

from __future__ import annotations

from typing import NamedTuple

from flows.recipe import Recipe
from tasks.audit import audit
from tasks.clean import clean
from tasks.dedup import dedup
from tasks.examples import examples
from tasks.gate import gate, require
from tasks.ingest import ingest
from tasks.split import split
from tasks.stage.artifact import Made


class Corpus(NamedTuple):
    """What later chapters read."""

    splits: Made
    examples: Made
    audit: Made


def corpus(recipe: Recipe) -> Corpus:
    """Collect, clean, deduplicate, split, audit; then write the examples."""
    collected = ingest(recipe.ingest)
    cleaned = clean(recipe.clean, documents=collected.part("documents.parquet"))
    kept = dedup(recipe.dedup, documents=cleaned.part("documents.parquet"))
    splits = split(recipe.split, documents=kept.part("documents.parquet"), clusters=kept.part("clusters.parquet"))
    audited = audit(recipe.audit, ingested=collected, cleaned=cleaned, deduplicated=kept, splits=splits)
    require(gate.at("corpus")(recipe.gates.corpus, corpus=audited))
    world = collected.part("world.json") if recipe.has_world else None
    return Corpus(splits, examples(recipe.examples, splits=splits, world=world), audited)
