"""The tokenizer of a corpus: its sample is drawn shard by shard, and the shards' chunks are joined in the order of ids to fit it."""

from __future__ import annotations

from data.splits.config import TRAIN_SIZE
from data.tokens.config import CHUNKS, SHARE, TokenizerConfig
from tasks.base.allot import allot
from tasks.base.sample import sample
from tasks.base.tokenizer import tokenizer
from tasks.stage.store.artifact import ShardedArtifact, StageOutput


def fitted(config: TokenizerConfig, splits: ShardedArtifact) -> StageOutput:
    """Draw a sample of the training split, and fit the tokenizer on it.

    The share that each shard draws is decided from the sizes of all, so that a changed text draws one shard again."""
    train, sizes = splits.part("train.parquet"), splits.part(TRAIN_SIZE)
    share = allot(config.allotting, sizes=sizes).part(SHARE)
    drawn = sample.over(len(splits.items))(config.drawing, train=train, share=share)
    return tokenizer(config, train=train, sizes=sizes, drawn=drawn.part(CHUNKS))
