"""Splits -> tokenizer -> packed rows -> pretrained model -> gate."""

from __future__ import annotations

from typing import NamedTuple

from flows.corpus import Corpus
from flows.recipe.schema import Recipe
from tasks.base.pack import pack
from tasks.base.pretrain import pretrain
from tasks.base.tokenizer import tokenizer
from tasks.evaluate import evaluate
from tasks.gate import gate, require
from tasks.stage.store.artifact import StageOutput


class Base(NamedTuple):
    """What later chapters use."""

    tokenizer: StageOutput
    packed: StageOutput
    model: StageOutput


def base(recipe: Recipe, corpus: Corpus) -> Base:
    """Fit the tokenizer, pack, pretrain, evaluate; stop the flow unless the gate passes."""
    fitted = tokenizer(recipe.tokenizer, train=corpus.splits.part("train.parquet"))
    conversations = corpus.examples.part("instructions_train.jsonl")
    packed = pack(recipe.pack, splits=corpus.splits, tokenizer=fitted, conversations=conversations)
    model = pretrain(recipe.pretraining, shards=packed)
    measured = evaluate.at("base")(recipe.evaluate.base, model=model, tokenizer=fitted, packed=packed, examples=corpus.examples)
    require(gate.at("base")(recipe.gates.base, base=measured, pack=packed.part("accounting")), recipe.gates.base)
    return Base(fitted, packed, model)
