"""Base model -> instruction tuning -> preference tuning -> gate."""

from __future__ import annotations

from typing import NamedTuple

from flows.base import Base
from flows.corpus import Corpus
from flows.recipe.schema import Recipe
from tasks.chat.dpo import dpo
from tasks.chat.encode import encode
from tasks.chat.sft import sft
from tasks.evaluate import evaluate
from tasks.gate import gate, require
from tasks.stage.store.artifact import StageOutput


class Chat(NamedTuple):
    """What the release uses."""

    model: StageOutput
    measured: StageOutput
    verdict: StageOutput


def chat(recipe: Recipe, corpus: Corpus, base: Base) -> Chat:
    """Tune on instructions, then on preferences, evaluate; stop the flow unless the gate passes."""
    encoded = encode(recipe.encode, conversations=corpus.examples, tokenizer=base.tokenizer)
    tuned = sft(recipe.instruction_tuning, model=base.model, shards=encoded.part("sft"))
    aligned = dpo(recipe.preference_tuning, model=tuned, shards=encoded.part("preference"))
    measured = evaluate.at("chat")(
        recipe.evaluate.chat, model=aligned, tokenizer=base.tokenizer, packed=base.packed, examples=corpus.examples
    )
    verdict = gate.at("chat")(recipe.gates.chat, chat=measured)
    require(verdict)
    return Chat(aligned, measured, verdict)
