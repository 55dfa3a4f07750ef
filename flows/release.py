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
from tasks.release import ADAPTER, CONSULTED, STEP, Consulting, consult, export, measure, quantize, register, tell_documents, vectors
from tasks.stage.store.artifact import ShardedArtifact, StageInput, StageOutput


class Release(NamedTuple):
    """The release: the exported model, and its quantized variants by name."""

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
    around = {"chat": chat.measured, "base": base.measured, "opened": base.opened, "baseline": base.compared}
    consulted = documents(recipe, corpus, base, chat)
    verdict = gate.at("release")(recipe.gates.release, release=full, **small, **around, documents=consulted)
    require(verdict, recipe.gates.release)
    register(recipe.register_as, exported, verdict, full, recipe.evaluate.release.splits[-1], recipe.release.promote)
    return Release(exported, variants)


def documents(recipe: Recipe, corpus: Corpus, base: Base, chat: Chat) -> StageOutput | None:
    """Make vectors of the passages of an index, and measure answers from documents, as far as the recipe asks; None if it measures none."""
    if recipe.index is None or corpus.indexed is None:
        return None
    inputs: dict[str, StageInput | ShardedArtifact] = {"index": corpus.indexed, "model": chat.model, "tokenizer": base.tokenizer}
    config = recipe.index.vectors
    if config is not None:
        reader = opened_reader(config)
        inputs |= {"vectors": embedded(config, corpus.indexed, reader or Reader(chat.model, base.tokenizer))}
        inputs |= {"reader": reader.model, "reader_tokenizer": reader.tokenizer} if reader else {}
    if recipe.index.evaluate is None:
        return None
    asked = Consulting(settings=recipe.index.evaluate, question_prefix=config.question_prefix if config else "")
    inputs["questions"] = corpus.examples.part("questions_heldout.jsonl")
    if base.initial is None:
        consulted = consult(asked, **inputs)
        tell_documents(consulted)
        return consulted
    # What finds passages stays the same, so that both models are shown the same ones.
    same = {"reader": chat.model, "reader_tokenizer": base.tokenizer} if config is not None else {}
    untouched = consult.at("untouched")(asked, **{**same, **inputs, "model": base.initial})
    consulted = consult(asked, **inputs, untouched=untouched.part(CONSULTED))
    tell_documents(consulted)
    return consulted


class Reader(NamedTuple):
    """A model that makes vectors, and its tokenizer."""

    model: StageInput
    tokenizer: StageInput


def opened_reader(config: PassageVectors) -> Reader | None:
    """Return the open model that makes vectors; None if the recipe's own does."""
    adopted = adopt.at("index")(config.model) if config.model else None
    return Reader(adopted.part("model"), adopted.part("tokenizer")) if adopted else None


def embedded(config: PassageVectors, indexed: ShardedArtifact, reader: Reader) -> ShardedArtifact:
    """Make vectors of all passages."""
    passages = indexed.part(PASSAGES_FILE)
    return vectors.over(len(indexed.items))(config.embedding, passages=passages, model=reader.model, tokenizer=reader.tokenizer)
