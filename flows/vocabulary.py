"""The tokenizer of a corpus: a sample is drawn shard by shard and joined in the order of ids to fit it; each shard verifies it."""

from __future__ import annotations

from data.splits.config import TRAIN_SIZE
from data.tokens.config import CHUNKS, SHARE, TOKENIZER_FILE, TokenizerConfig
from tasks.base.allot import allot
from tasks.base.fit import fit
from tasks.base.restore import restore
from tasks.base.sample import sample
from tasks.base.tokenizer import tokenizer
from tasks.stage.store.artifact import ShardedArtifact, StageOutput


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
