"""Chat model -> INT8, Hugging Face directory -> gate -> registry."""

from __future__ import annotations

from typing import NamedTuple

from flows.base import Base
from flows.chat import Chat
from flows.corpus import Corpus
from flows.recipe.schema import Recipe
from tasks.evaluate import evaluate
from tasks.gate import gate, require
from tasks.release.export import export
from tasks.release.quantize import quantize
from tasks.release.register import register
from tasks.stage.store.artifact import StageOutput


class Release(NamedTuple):
    """What a user gets: the exported model and its INT8 form."""

    model: StageOutput
    int8: StageOutput


def release(recipe: Recipe, corpus: Corpus, base: Base, chat: Chat) -> Release:
    """Quantize and export, evaluate both forms on the test split, and register the model if the gate passes."""
    int8 = quantize(recipe.quantize, model=chat.model)
    exported = export(
        recipe.exporting,
        model=chat.model,
        int8=int8,
        tokenizer=base.tokenizer,
        measured=chat.measured.part("metrics.json"),
        verdict=chat.verdict.part("verdict.json"),
        funnel=corpus.audit.part("funnel.json"),
    )
    measured_on = {"tokenizer": base.tokenizer, "packed": base.packed, "examples": corpus.examples}
    full = evaluate.at("release")(recipe.evaluate.release, model=exported, **measured_on)
    small = evaluate.at("int8")(recipe.evaluate.release, model=int8, **measured_on)
    verdict = gate.at("release")(recipe.gates.release, release=full, int8=small)
    require(verdict)
    register(recipe.register_as, exported, verdict)
    return Release(exported, int8)
