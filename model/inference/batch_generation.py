"""Generation for many prompts at once: greedy for evaluation, sampled for rollouts.

There is no padding: all rows advance together from position 0. While a row's prompt lasts, it is fed its own next token; after that, the
token that was chosen. So no mask is needed, and every row's tokens are those that `generate` yields for it alone, with its own seed where
they are sampled (up to rounding where two logits are nearly equal).

Cost: (longest - shortest prompt of a batch + new tokens) passes of one token a row. Prompts are sorted by length to keep the difference
small, and finished rows leave the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from model.inference.config import SamplingConfig
from model.inference.generation import room_for_reply
from model.inference.sampling import distribution
from model.networks.network import Network

Choose = Callable[[Tensor, Sequence[int]], list[int]]  # logits_NV, and the prompt that each row continues -> N tokens


class Completion(NamedTuple):
    """A sampled reply: its tokens, a stop token included, and the log-probability in nats of each when it was drawn.

    `ended`: the last one is a stop token.
    """

    tokens: list[int]
    log_probabilities: list[float]
    ended: bool


def generate_batch(
    model: Network,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    stop_ids: Collection[int] = (),
    batch: int = 128,
) -> list[list[int]]:
    """Return the greedy continuation of each prompt, in order, without stop tokens; `batch` is the most rows at once.

    Raise ValueError, before any work, for a prompt that is empty or fills the context.
    """
    stops = frozenset(stop_ids)
    replies = _generate(model, prompts, max_new_tokens, stops, batch, lambda logits_NV, _: logits_NV.argmax(-1).tolist())
    return [reply[:-1] if reply[-1] in stops else reply for reply in replies]


def sample_batch(
    model: Network,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    config: SamplingConfig,
    stop_ids: Collection[int] = (),
    batch: int = 128,
) -> list[Completion]:
    """Return a sampled completion of each prompt, in order; each depends on its own prompt and seed alone, up to rounding.

    Raise ValueError as `generate_batch` does, and for logits that are not numbers.
    """
    stops = frozenset(stop_ids)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    drawn: list[list[float]] = [[] for _ in prompts]

    def draw(logits_NV: Tensor, numbers: Sequence[int]) -> list[int]:
        chosen = []
        for logits_V, number in zip(logits_NV.cpu(), numbers, strict=True):
            probabilities_V = distribution(logits_V, config)
            token = int(torch.multinomial(probabilities_V, 1, generator=generators[number]))
            drawn[number].append(math.log(probabilities_V[token]))
            chosen.append(token)
        return chosen

    replies = _generate(model, prompts, config.max_new_tokens, stops, batch, draw)
    return [Completion(reply, logs, reply[-1] in stops) for reply, logs in zip(replies, drawn, strict=True)]


def _generate(
    model: Network, prompts: Sequence[Sequence[int]], max_new_tokens: int, stops: frozenset[int], batch: int, choose: Choose
) -> list[list[int]]:
    """Return each prompt's continuation, in order; a stop token is its last."""
    limits = [min(max_new_tokens, room_for_reply(model, len(prompt))) for prompt in prompts]
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    replies: list[list[int]] = [[] for _ in prompts]
    for start in range(0, len(order), batch):
        numbers = order[start : start + batch]
        chosen = partial(_choose_by_number, choose, numbers)
        continuations = _generate_sorted(model, [prompts[n] for n in numbers], [limits[n] for n in numbers], stops, chosen)
        for number, continuation in zip(numbers, continuations, strict=True):
            replies[number] = continuation
    return replies


def _choose_by_number(choose: Choose, numbers: Sequence[int], logits_NV: Tensor, rows: Sequence[int]) -> list[int]:
    """Choose for rows of a batch, whose prompts have these numbers among all."""
    return choose(logits_NV, [numbers[row] for row in rows])


@torch.no_grad()
def _generate_sorted(
    model: Network, prompts: list[Sequence[int]], limits: list[int], stops: frozenset[int], choose: Choose
) -> list[list[int]]:
    """Generate for prompts sorted by length, shortest first, as the module's docstring describes."""
    device = next(model.parameters()).device
    state = model.new_state(len(prompts))
    replies: list[list[int]] = [[] for _ in prompts]
    active = list(range(len(prompts)))
    position = len(prompts[0])
    feed = [list(prompt[:position]) for prompt in prompts]
    while True:
        logits_BV = model.logits({"tokens": torch.tensor(feed, device=device)}, state)[:, -1]
        slots = [slot for slot, row in enumerate(active) if position >= len(prompts[row])]
        chosen = dict(zip(slots, choose(logits_BV[slots], [active[slot] for slot in slots]), strict=True))
        remaining: list[int] = []
        feed = []
        for slot, row in enumerate(active):
            if slot not in chosen:
                remaining.append(slot)
                feed.append([prompts[row][position]])
                continue
            replies[row].append(chosen[slot])
            if chosen[slot] not in stops and len(replies[row]) < limits[row]:
                remaining.append(slot)
                feed.append([chosen[slot]])
        if not remaining:
            return replies
        if len(remaining) < len(active):
            state.keep_rows(torch.tensor(remaining, device=device))
            active = [active[slot] for slot in remaining]
        position += 1
