"""Passages drawn from packed training rows, whose continuation shows what a model has memorized."""

from __future__ import annotations

import numpy as np

from data.shards.reader import ShardReader


def draw_passages(reader: ShardReader, passages: int, prompt_tokens: int, copy_tokens: int, seed: int) -> list[list[int]]:
    """Draw up to `passages` passages of prompt_tokens + copy_tokens tokens, at most one from a row; `seed` decides rows and offsets.

    Rows without a passage that long are skipped.
    """
    length = prompt_tokens + copy_tokens
    if length > reader.metadata.sequence_length + 1:
        return []
    generator = np.random.Generator(np.random.Philox(seed))
    found: list[list[int]] = []
    for number in generator.permutation(len(reader)).tolist():
        if len(found) == passages:
            break
        row = {name: values[0] for name, values in reader.rows([number]).items()}
        # Every token but the first must be a target of the same document, so no passage holds padding or crosses a boundary.
        links = row["loss"][1:] & (row["document"][1:] == row["document"][:-1])
        run = np.concatenate([[0], np.cumsum(links)])
        starts = np.flatnonzero(run[length - 1 :] - run[: len(run) - length + 1] == length - 1)
        if len(starts):
            start = int(starts[generator.integers(len(starts))])
            found.append([int(token) for token in row["tokens"][start : start + length]])
    return found
