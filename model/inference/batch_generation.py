"""Greedy generation for many prompts at once, for evaluation with hundreds of short prompts.

There is no padding: all rows advance together from position 0. While a row's prompt lasts, it is fed its own next token; after that, the
token that the model chose. So no mask is needed, and every row's tokens are those that `generate` yields for it alone (up to rounding
where two logits are nearly equal).

Cost: (longest - shortest prompt of a batch + new tokens) passes of one token a row. Prompts are sorted by length to keep the difference
small, and finished rows leave the batch.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch

from model.inference.cache import KeyValueCache
from model.inference.generation import room_for_reply
from model.networks.decoder import Decoder


def generate_batch(
    model: Decoder,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    stop_ids: Collection[int] = (),
    batch: int = 128,
) -> list[list[int]]:
    """Return the greedy continuation of each prompt, in order, without stop tokens; `batch` is the most rows at once.

    Raise ValueError, before any work, for a prompt that is empty or fills the context.
    """
    limits = [min(max_new_tokens, room_for_reply(model, len(prompt))) for prompt in prompts]
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    replies: list[list[int]] = [[] for _ in prompts]
    for start in range(0, len(order), batch):
        indices = order[start : start + batch]
        continuations = _generate_sorted(model, [prompts[i] for i in indices], [limits[i] for i in indices], frozenset(stop_ids))
        for index, continuation in zip(indices, continuations, strict=True):
            replies[index] = continuation
    return replies


@torch.no_grad()
def _generate_sorted(model: Decoder, prompts: list[Sequence[int]], limits: list[int], stops: frozenset[int]) -> list[list[int]]:
    """Generate for prompts sorted by length, shortest first, as the module's docstring describes."""
    device = next(model.parameters()).device
    cache = KeyValueCache(model.config.layers)
    replies: list[list[int]] = [[] for _ in prompts]
    active = list(range(len(prompts)))
    position = len(prompts[0])
    feed = [list(prompt[:position]) for prompt in prompts]
    while True:
        logits_BV = model(torch.tensor(feed, device=device), cache=cache)[:, -1]
        chosen = logits_BV.argmax(-1).tolist()
        remaining: list[int] = []
        feed = []
        for slot, row in enumerate(active):
            if position < len(prompts[row]):
                remaining.append(slot)
                feed.append([prompts[row][position]])
                continue
            if chosen[slot] in stops:
                continue
            replies[row].append(chosen[slot])
            if len(replies[row]) < limits[row]:
                remaining.append(slot)
                feed.append([chosen[slot]])
        if not remaining:
            return replies
        if len(remaining) < len(active):
            cache.keep_rows(torch.tensor(remaining, device=device))
            active = [active[slot] for slot in remaining]
        position += 1
