"""How likely a model finds given continuations of given prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.nn import functional

from model.networks.network import Network
from model.objectives.protocol import IGNORED

TOKENS_AT_ONCE = 8192


class Continuation(NamedTuple):
    """A prompt and the tokens that may follow it."""

    prompt: Sequence[int]
    tokens: Sequence[int]

    @property
    def length(self) -> int:
        """Tokens of both."""
        return len(self.prompt) + len(self.tokens)


@torch.no_grad()
def log_probabilities(model: Network, continuations: Sequence[Continuation]) -> list[float]:
    """Return the log-probability of each continuation's tokens after its prompt, in nats, in order.

    Sequences of like length are computed together; they are padded at the end, which a causal network does not see.
    """
    device = next(model.parameters()).device
    order = sorted(range(len(continuations)), key=lambda number: (continuations[number].length, number))
    found = [0.0] * len(continuations)
    while order:
        longest = continuations[order[-1]].length
        numbers = order[-max(1, TOKENS_AT_ONCE // longest) :]
        del order[-len(numbers) :]
        tokens_BT = torch.zeros((len(numbers), longest), dtype=torch.int64)
        targets_BT = torch.full((len(numbers), longest), IGNORED)
        for row, number in enumerate(numbers):
            prompt, tokens = continuations[number]
            tokens_BT[row, : len(prompt) + len(tokens)] = torch.tensor([*prompt, *tokens])
            targets_BT[row, len(prompt) : len(prompt) + len(tokens)] = torch.tensor(list(tokens))
        logits_BTV = model.logits({"tokens": tokens_BT[:, :-1].to(device)}).float().cpu()
        nats_N = functional.cross_entropy(logits_BTV.flatten(0, 1), targets_BT[:, 1:].flatten(), ignore_index=IGNORED, reduction="none")
        for number, nats in zip(numbers, nats_N.view(len(numbers), -1).double().sum(dim=1).tolist(), strict=True):
            found[number] = -nats
    return found
