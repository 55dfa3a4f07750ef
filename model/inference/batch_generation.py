"""Many prompts at once, greedily: for evaluation, where hundreds of short prompts wait.

How it goes without padding: all rows march in step from position 0. As long as a row's prompt lasts, the row is fed its
own next token; afterwards, what the model said. So no row sees a pad, no mask is needed, and every row's tokens are
those that `generation.generate` gives alone (up to rounding where two logits are as good as equal).
Cost: (longest - shortest prompt of a batch + new tokens) passes of one token a row; prompts are sorted by length, so the
difference is small. Finished rows leave the batch.
When it can't: the same errors as `generate`, before any work.
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
    """The greedy continuation of each prompt, in the order given, without stop tokens; `batch` bounds the rows at once."""
    limits = [min(max_new_tokens, room_for_reply(model, len(prompt))) for prompt in prompts]
    order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
    replies: list[list[int]] = [[] for _ in prompts]
    for start in range(0, len(order), batch):
        numbers = order[start : start + batch]
        answers = _march(model, [prompts[n] for n in numbers], [limits[n] for n in numbers], frozenset(stop_ids))
        for number, answer in zip(numbers, answers, strict=True):
            replies[number] = answer
    return replies


@torch.no_grad()
def _march(model: Decoder, prompts: list[Sequence[int]], limits: list[int], stops: frozenset[int]) -> list[list[int]]:
    """Prompts sorted by length, shortest first; see the module's first lines."""
    device = next(model.parameters()).device
    cache = KeyValueCache(model.config.layers)
    replies: list[list[int]] = [[] for _ in prompts]
    alive = list(range(len(prompts)))
    position = len(prompts[0])
    feed = [list(prompt[:position]) for prompt in prompts]
    while True:
        logits_BV = model(torch.tensor(feed, device=device), cache=cache)[:, -1]
        likeliest = logits_BV.argmax(-1).tolist()
        going: list[int] = []
        feed = []
        for place, row in enumerate(alive):
            if position < len(prompts[row]):
                going.append(place)
                feed.append([prompts[row][position]])
                continue
            if likeliest[place] in stops:
                continue
            replies[row].append(likeliest[place])
            if len(replies[row]) < limits[row]:
                going.append(place)
                feed.append([likeliest[place]])
        if not going:
            return replies
        if len(going) < len(alive):
            cache.keep_rows(torch.tensor(going, device=device))
            alive = [alive[place] for place in going]
        position += 1
