"""Chat model -> quantized variants, each measured beside it -> Hugging Face directory with those that hold -> gate -> registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from data.examples.config import ConversationExamples
from data.searching.passages import PASSAGES_FILE
from flows.base import Base
from flows.chat import Chat, by_judge
from flows.corpus import Corpus
from flows.recipe.schema import PassageVectors, Recipe
from model.evaluation.gate import FIDELITY
from model.evaluation.relations import UNITS
from tasks.base import adopt
from tasks.evaluate import evaluate
from tasks.gate import gate, require
from tasks.release import ADAPTER, STEP, export, measure, quantize, register, vectors
from tasks.stage.store.artifact import ShardedArtifact, StageOutput


class Release(NamedTuple):
    """What a user gets: the exported model, and its quantized variants by name."""

    model: StageOutput
    variants: Mapping[str, StageOutput]


def release(recipe: Recipe, corpus: Corpus, base: Base, chat: Chat) -> Release:
    """Quantize, export with every form that is near enough, evaluate all on the test split, register it if the gate passes."""
    variants = {
        variant.name: quantize.at(variant.name)(
            variant,
            model=chat.model,
            rows=base.packed.part("train") if variant.CALIBRATES else None,
            tokenizer=base.tokenizer if variant.TOKENIZES else None,
        )
        for variant in recipe.release.variants
    }
    fidelity = {
        variant.name: measure.at(variant.name)(
            recipe.fidelity_of(variant),
            model=chat.model,
            variant=variants[variant.name],
            packed=base.packed.part(recipe.evaluate.release.splits[-1]),
        )
        for variant in recipe.release.variants
    }
    exported = export(
        recipe.exporting,
        model=chat.model,
        **variants,
        **{f"{ADAPTER}{name}": folder for name, folder in chat.adapters.items()},
        **{f"{FIDELITY}{name}": measured for name, measured in fidelity.items()},
        **{f"{STEP}{n:02}.{name}": measured.part("metrics.json") for n, (name, measured) in enumerate(chat.steps.items(), start=1)},
        tokenizer=base.tokenizer,
        measured=chat.measured.part("metrics.json"),
        measured_base=base.measured.part("metrics.json"),
        baseline=base.compared.part("metrics.json"),
        measured_rows=chat.measured.part(UNITS),
        baseline_rows=base.compared.part(UNITS),
        history=base.history,
        origin=base.origin,
        verdict=chat.verdict.part("verdict.json"),
        funnel=corpus.audit.part("funnel.json") if recipe.reads_texts else None,
        conversations=corpus.examples.part("sources.json") if isinstance(recipe.examples, ConversationExamples) else None,
    )
    measured_on = {"tokenizer": base.tokenizer, "packed": base.packed, "examples": corpus.examples}
    measuring, judge = by_judge(recipe.evaluate.release, chat.judges)
    full = evaluate.at("release")(measuring, model=exported, **measured_on, **judge)
    small = {name: evaluate.at(name)(measuring, model=variant, **measured_on, **judge) for name, variant in variants.items()}
    verdict = gate.at("release")(
        recipe.gates.release, release=full, **small, chat=chat.measured, base=base.measured, opened=base.opened, baseline=base.compared
    )
    require(verdict, recipe.gates.release)
    if recipe.index and recipe.index.vectors and corpus.indexed:
        embedded(recipe.index.vectors, corpus.indexed, base, chat)
    register(recipe.register_as, exported, verdict, full, recipe.evaluate.release.splits[-1], recipe.release.promote)
    return Release(exported, variants)


def embedded(config: PassageVectors, indexed: ShardedArtifact, base: Base, chat: Chat) -> ShardedArtifact:
    """Make vectors of all passages, by the model that was made or by an open one."""
    adopted = adopt.at("index")(config.model) if config.model else None
    model, words = (adopted.part("model"), adopted.part("tokenizer")) if adopted else (chat.model, base.tokenizer)
    return vectors.over(len(indexed.items))(config.embedding, passages=indexed.part(PASSAGES_FILE), model=model, tokenizer=words)
