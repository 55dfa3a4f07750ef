"""Pairs as rows of kind `preference`: both answers follow the same prompt, and the loss covers the answers alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.shards.metadata import ShardCounts
from data.shards.schema import Array
from data.shards.writer import ShardWriter, token_dtype
from model.networks.network import Network

SPLITS = ("train", "val")
VALIDATION_SHARE = 8  # one question for validation for so many for training
PAD = 0


class PairTokens(NamedTuple):
    """The tokens of a prompt, and of each answer with the token that ends it."""

    prompt: Sequence[int]
    chosen: Sequence[int]
    rejected: Sequence[int]


def most_questions(questions: int, split: str) -> int:
    """Return how many questions a split asks, where training asks so many."""
    return questions if split == "train" else max(1, questions // VALIDATION_SHARE)


def write_pair_rows(directory: Path, pairs: Sequence[PairTokens], model: Network, digest: str) -> None:
    """Write a shard directory for the model's context. `digest`: of the tokenizer."""
    width, dtype = model.config.context + 1, token_dtype(model.vocab_size)
    columns: dict[str, Array] = {}
    for side in ("chosen", "rejected"):
        tokens, counted = np.full((len(pairs), width), PAD, dtype=dtype), np.zeros((len(pairs), width), dtype=np.bool_)
        for row, pair in enumerate(pairs):
            prompt, answer = pair.prompt, pair.chosen if side == "chosen" else pair.rejected
            tokens[row, : len(prompt) + len(answer)] = [*prompt, *answer]
            counted[row, len(prompt) : len(prompt) + len(answer)] = True
        columns |= {side: tokens, f"{side}_loss": counted}
    writer = ShardWriter(directory, shard_rows=8192)
    if pairs:
        writer.add(columns)
    targets = sum(int(np.count_nonzero(columns[f"{side}_loss"])) for side in ("chosen", "rejected"))
    filled = targets + 2 * sum(len(pair.prompt) for pair in pairs)
    counts = ShardCounts(tokens=filled, targets=targets)
    writer.close("preference", sequence_length=width - 1, tokenizer_digest=digest, vocab_size=model.vocab_size, counts=counts)
