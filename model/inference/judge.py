"""A reward model as a judge of replies: the best of several is the one that it scores highest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from model.networks.scalar_heads import load_with_head
from model.networks.tokenizer_binding import require_tokenizer
from model.objectives.reward_model import HEAD, read_scores, scored_batch

if TYPE_CHECKING:
    from model.networks.network import Network

BATCH = 64


class Judge:
    """A reward model, open. Scores follow from the tokens alone, whatever is scored beside them, up to rounding."""

    def __init__(self, network: Network) -> None:
        self._network = network

    @classmethod
    def open(cls, directory: Path, tokenizer_digest: str) -> Judge:
        """Load a reward model; raise ModelError for a directory that holds none, or one of another tokenizer."""
        require_tokenizer(directory, tokenizer_digest)
        return cls(load_with_head(directory, HEAD))

    @torch.no_grad()
    def scores(self, texts: Sequence[Sequence[int]]) -> list[float]:
        """Return the score of each text, the tokens of a conversation up to the end of the reply that is judged."""
        found: list[float] = []
        for start in range(0, len(texts), BATCH):
            part = texts[start : start + BATCH]
            width = max(map(len, part))
            tokens, flags = np.zeros((len(part), width), dtype=np.int64), np.zeros((len(part), width), dtype=np.bool_)
            for row, text in enumerate(part):
                tokens[row, : len(text)], flags[row, len(text) - 1] = text, True
            batch = {name: torch.from_numpy(values) for name, values in scored_batch(tokens, flags).items()}
            found += read_scores(self._network, batch).tolist()
        return found


def best_of(scores: Sequence[float]) -> int:
    """Return the place of the highest score, of equal ones the first."""
    return max(range(len(scores)), key=lambda place: scores[place])
