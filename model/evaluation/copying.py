"""How much of its training text a model recites when given the beginning of a passage.

A passage is drawn from a training row, inside one document, with prompt and continuation both within that row. The
model continues the prompt greedily; the continuation recites when its first `copy_tokens` tokens are those of the text
(Carlini et al. 2023, "Quantifying memorization", call this extractable). The same measure on text that it never saw is
the baseline: what stock phrases and plain guessing give.

Guarantee: passages depend on the shards and the seed alone.
When it can't: rows without a passage long enough are passed over; if none has one, the share is 0 of 0 and the function
returns no measurement, which a gate that asks for it refuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from model.loading.shards import ShardReader

if TYPE_CHECKING:
    from model.networks.decoder import Decoder


@dataclass(frozen=True)
class Recital:
    """A passage's beginning, how the text goes on, and how the model went on; token ids."""

    prompt: list[int]
    text: list[int]
    continuation: list[int]

    @property
    def copied(self) -> int:
        """Leading tokens of the continuation that are the text's."""
        for place, (ours, theirs) in enumerate(zip(self.continuation, self.text, strict=False)):
            if ours != theirs:
                return place
        return min(len(self.continuation), len(self.text))


def copying(model: Decoder, reader: ShardReader, *, passages: int, prompt_tokens: int, copy_tokens: int, seed: int = 0) -> list[Recital]:
    """Try up to `passages` passages; the share that recites is the share of `copied >= copy_tokens`."""
    from model.inference.batch import generate_batch

    drawn = draw_passages(reader, passages, prompt_tokens, copy_tokens, seed)
    prompts = [passage[:prompt_tokens] for passage in drawn]
    continuations = generate_batch(model, prompts, copy_tokens) if drawn else []
    return [
        Recital(prompt, passage[prompt_tokens:], continuation)
        for prompt, passage, continuation in zip(prompts, drawn, continuations, strict=True)
    ]


def draw_passages(reader: ShardReader, passages: int, prompt_tokens: int, copy_tokens: int, seed: int) -> list[list[int]]:
    """Passages of prompt_tokens + copy_tokens tokens, at most one a row; rows and places drawn by the seed.

    Every token but the first must be a target: that keeps padding out, and passages inside one document.
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
        links = row["loss"][1:] & (row["document"][1:] == row["document"][:-1])
        run = np.concatenate([[0], np.cumsum(links)])
        starts = np.flatnonzero(run[length - 1 :] - run[: len(run) - length + 1] == length - 1)
        if len(starts):
            start = int(starts[generator.integers(len(starts))])
            found.append([int(token) for token in row["tokens"][start : start + length]])
    return found
