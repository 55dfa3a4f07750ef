"""Splits -> tokenizer -> packed rows -> baselines, pretrained model -> gate; or an open model, trained further or unchanged -> gate.

An arena trains other networks on the same rows beside the base model, and measures them as it is measured.
"""

from __future__ import annotations

from typing import NamedTuple

from data.splits.config import TRAIN_SIZE
from data.tokens.config import CHUNKS, SHARE, TOKENIZER_FILE, TokenizerConfig
from flows.corpus import Corpus
from flows.recipe.schema import Recipe
from tasks.base import adopt, allot, baseline, compete, fit, pack, pretrain, restore, sample, tokenizer
from tasks.evaluate import appraise, evaluate
from tasks.gate import gate, require
from tasks.stage.store.artifact import ShardedArtifact, StageInput, StageOutput


def fitted(config: TokenizerConfig, splits: ShardedArtifact) -> StageOutput:
    """Draw a sample of the training split, fit the tokenizer on it, and verify that it restores all of the split.

    The share that each shard draws is decided from the sizes of all, so that a changed text draws one shard again. Shards are verified
    with tokenizer.json alone, so that one which a changed text leaves as it was verifies one shard again."""
    shards = len(splits.items)
    train, sizes = splits.part("train.parquet"), splits.part(TRAIN_SIZE)
    share = allot(config.allotting, sizes=sizes).part(SHARE)
    drawn = sample.over(shards)(config.drawing, train=train, share=share)
    learned = fit(config, train=train, sizes=sizes, drawn=drawn.part(CHUNKS))
    counted = restore.over(shards)(config.restoring, train=train, fitted=learned.part(TOKENIZER_FILE))
    return tokenizer(config.describing, fitted=learned, counted=counted)


class Base(NamedTuple):
    """Results for later chapters. `history` if pretrained here; `origin`, `opened` and `initial`, itself, if started from an open model."""

    tokenizer: StageInput
    packed: StageOutput
    compared: StageOutput
    model: StageInput
    measured: StageOutput
    history: StageInput | None
    origin: StageInput | None
    opened: StageOutput | None
    initial: StageInput | None


def base(recipe: Recipe, corpus: Corpus) -> Base:
    """Fit the tokenizer, pack, compute baselines, pretrain, evaluate; stop the flow unless the gate passes.

    An open model keeps its tokenizer; if it is trained further, it is also evaluated before that.
    """
    adopted = adopt(recipe.base) if recipe.base else None
    words = adopted.part("tokenizer") if adopted else fitted(recipe.tokenizer, corpus.splits)
    conversations = corpus.examples.part("instructions_train.jsonl")
    packed = pack(recipe.pack, splits=corpus.splits, tokenizer=words, conversations=conversations, parts=corpus.parts)
    compared = baseline(recipe.baseline, packed=packed, splits=corpus.splits, examples=corpus.examples)
    around = {"tokenizer": words, "packed": packed, "examples": corpus.examples}
    before = adopted.part("model") if adopted else None
    opened = evaluate.at("opened")(recipe.evaluate.base, model=before, **around) if before and recipe.pretrains else None
    trained = pretrain(recipe.pretraining, shards=packed, initial=before) if recipe.pretrains else None
    model = trained or before
    assert model is not None, "a recipe without a model to start from pretrains one"
    measured = evaluate.at("base")(recipe.evaluate.base, model=model, **around)
    verdict = gate.at("base")(recipe.gates.base, base=measured, opened=opened, baseline=compared, pack=packed.part("accounting"))
    require(verdict, recipe.gates.base)
    for name, training in recipe.competing.items():
        appraise.at(name)(recipe.appraising, model=compete.at(name)(training, shards=packed), **around)
    history, origin = trained and trained.part("history.jsonl"), adopted and adopted.part("origin.json")
    return Base(words, packed, compared, model, measured, history, origin, opened, before)
