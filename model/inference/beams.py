"""Beam search: the likeliest whole replies among those that the beams find.

Each step keeps the `beams` likeliest unfinished beginnings. A reply that ended scores its summed log-probability divided by its length to
the power of `length_penalty` (above 1 favours long ones, 0 compares sums). The search ends when no beginning, ended at once, would score
better than the worst of `beams` replies that have ended, as in `transformers` with early_stopping=False.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch

from model.inference.request import Request
from model.inference.sampling import refuse_broken
from model.networks.decoding import DecodingNetwork


class Beam(NamedTuple):
    """A reply, a stop token included, and its score in nats."""

    tokens: list[int]
    score: float
    ended: bool


class _Open(NamedTuple):
    tokens: list[int]
    total: float


@torch.inference_mode()
def beam_search(
    network: DecodingNetwork, request: Request, beams: int, length_penalty: float = 1.0, stop_ids: Collection[int] = ()
) -> list[Beam]:
    """Return up to `beams` replies to the request's prompt, the best first. Its limit holds; its sampling settings do not apply.

    Raise ValueError for less than 1 beam, or more than there are tokens.
    """
    if not 1 <= beams <= network.vocab_size:
        raise ValueError(f"beams={beams}: give between 1 and the vocabulary's {network.vocab_size}")
    stops = request.stops | frozenset(stop_ids)
    state = network.new_state()
    state.add(1)
    logits_NV = network.step(torch.tensor([list(request.prompt)], device=network.device), [len(request.prompt)], state)
    going, ended = [_Open([], 0.0)], list[Beam]()
    while True:
        log_NV = logits_NV.double().log_softmax(-1)
        refuse_broken(logits_NV.amax(-1).tolist(), network.vocab_size)
        chosen, parents = _extend(going, log_NV, beams, stops, ended, length_penalty)
        going = chosen
        ended = sorted(ended, key=lambda beam: -beam.score)[:beams]
        length = len(going[0].tokens) if going else 0
        if not going or length >= request.limit:
            break
        if len(ended) == beams and max(beam.total for beam in going) / length**length_penalty <= ended[-1].score:
            return ended
        state.select(parents)
        logits_NV = network.step(torch.tensor([[beam.tokens[-1]] for beam in going], device=network.device), [1] * len(going), state)
    ended += [Beam(beam.tokens, beam.total / len(beam.tokens) ** length_penalty, False) for beam in going]
    return sorted(ended, key=lambda beam: -beam.score)[:beams]


def _extend(
    going: Sequence[_Open], log_NV: torch.Tensor, beams: int, stops: frozenset[int], ended: list[Beam], length_penalty: float
) -> tuple[list[_Open], list[int]]:
    """Return the likeliest unfinished continuations and the row of each; add finished ones to `ended`.

    Look at enough candidates that `beams` of them stay unfinished.
    """
    vocabulary = log_NV.shape[1]
    total_NV = log_NV + torch.tensor([beam.total for beam in going], dtype=torch.float64, device=log_NV.device)[:, None]
    looked = min(beams * (1 + max(1, len(stops))), total_NV.numel())
    value_L, index_L = total_NV.flatten().topk(looked)
    chosen: list[_Open] = []
    parents: list[int] = []
    for rank, (value, index) in enumerate(zip(value_L.tolist(), index_L.tolist(), strict=True)):
        row, token = divmod(index, vocabulary)
        tokens = [*going[row].tokens, token]
        if token in stops:
            # A finished beam is ranked with the others, or it would crowd out better unfinished ones.
            if rank < beams:
                ended.append(Beam(tokens, value / len(tokens) ** length_penalty, True))
        elif len(chosen) < beams:
            chosen.append(_Open(tokens, value))
            parents.append(row)
    return chosen, parents
