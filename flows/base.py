"""Splits -> tokenizer -> packed rows -> baselines, pretrained model -> gate."""

from __future__ import annotations

from typing import NamedTuple

from flows.corpus import Corpus
from flows.recipe.schema import Recipe
from tasks.base.baseline import baseline
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
    compared: StageOutput
    model: StageOutput
    measured: StageOutput


def base(recipe: Recipe, corpus: Corpus) -> Base:
    """Fit the tokenizer, pack, compute baselines, pretrain, evaluate; stop the flow unless the gate passes."""
    fitted = tokenizer(recipe.tokenizer, train=corpus.splits.part("train.parquet"))
    conversations = corpus.examples.part("instructions_train.jsonl")
    packed = pack(recipe.pack, splits=corpus.splits, tokenizer=fitted, conversations=conversations)
    compared = baseline(recipe.baseline, packed=packed, splits=corpus.splits, examples=corpus.examples)
    model = pretrain(recipe.pretraining, shards=packed)
    measured = evaluate.at("base")(recipe.evaluate.base, model=model, tokenizer=fitted, packed=packed, examples=corpus.examples)
    verdict = gate.at("base")(recipe.gates.base, base=measured, baseline=compared, pack=packed.part("accounting"))
    require(verdict, recipe.gates.base)
    return Base(fitted, packed, compared, model, measured)
