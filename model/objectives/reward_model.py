"""A reward model by Bradley and Terry (1952), as Ouyang et al. (2022) train it: which of two answers people would rather have.

    loss = -log sigmoid(s(chosen) - s(rejected)) + centre * (s(chosen) + s(rejected))^2

s is the number that the network's head `reward` reads at the last token of an answer. The second part keeps scores near 0, which the first
leaves free up to a constant. The loss is ln 2 at the first step, where the head reads 0.
Cost: a forward and backward pass over both answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from model.networks.network import Network
from model.networks.scalar_heads import read_scalar
from model.objectives.answers import SIDES
from model.objectives.protocol import LOSS, POLICY, Rows, Term, as_int64

HEAD = "reward"
REPORTED = ("accuracy", "margin", "chosen_score", "rejected_score", "confidence", "brier")


@dataclass(frozen=True)
class RewardModel:
    """Rows as `Dpo` has them; units are pairs.

    Metrics: `accuracy` (the share of pairs whose chosen answer scores higher), `margin` (by how much), `chosen_score`, `rejected_score`; of
    its calibration `confidence` (the mean probability of the answer that it prefers, to be compared with the accuracy) and `brier` (the
    mean squared error of the probability that the chosen answer is preferred; 0.25 for a coin).
    """

    centre: float = 0.0
    reads: ClassVar[tuple[str, ...]] = ("preference",)
    models: ClassVar[tuple[str, ...]] = ()

    @property
    def terms(self) -> tuple[Term, ...]:
        centring = (Term("centring", "pairs", self.centre),) if self.centre else ()
        learned = (Term("ranking", "pairs", 1.0), *centring) if centring else (Term(LOSS, "pairs", 1.0),)
        return (*learned, *(Term(name, "pairs") for name in REPORTED))

    def units(self, rows: Rows) -> dict[str, float]:
        return {"pairs": float(len(rows["chosen"]))}

    def globals(self, rows: Rows) -> dict[str, float]:
        return {}

    def batch(self, rows: Rows) -> dict[str, NDArray[Any]]:
        tokens, flags = (np.concatenate([rows[f"{side}{suffix}"] for side in SIDES]) for suffix in ("", "_loss"))
        return scored_batch(tokens, flags)

    def sums(self, models: Mapping[str, Network], batch: Mapping[str, Tensor]) -> Tensor:
        chosen_B, rejected_B = read_scores(models[POLICY], batch).chunk(2)
        margin_B = chosen_B - rejected_B
        learned = [-functional.logsigmoid(margin_B).sum(), *([(chosen_B + rejected_B).square().sum()] if self.centre else [])]
        preferred_B = margin_B.sigmoid()
        sure, wrong = torch.maximum(preferred_B, 1 - preferred_B).sum(), (1 - preferred_B).square().sum()
        reported = ((margin_B > 0).sum(), margin_B.sum(), chosen_B.sum(), rejected_B.sum(), sure, wrong)
        return torch.stack([*learned, *(value.detach().float() for value in reported)])


def scored_batch(tokens: NDArray[Any], flags: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return rows cut off after the longest answer, and the position of each row's last token."""
    last = flags.shape[1] - 1 - flags[:, ::-1].argmax(axis=1)
    last = np.where(flags.any(axis=1), last, 0)
    return {"scored_tokens": as_int64(tokens)[:, : int(last.max(initial=0)) + 1], "last": last}


def read_scores(network: Network, batch: Mapping[str, Tensor]) -> Tensor:
    """Return the score of each row's answer, fp32 [rows]."""
    tokens_RT, last_R = within_positions(network, batch["scored_tokens"], batch["last"])
    hidden_RTD = network({"tokens": tokens_RT})
    return read_scalar(network, HEAD, hidden_RTD[torch.arange(len(last_R), device=last_R.device), last_R])


def within_positions(network: Network, tokens_RT: Tensor, last_R: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows that the network has positions for, and the place of each one's last token.

    A row holds a token more than the context, for its last target, and the score is read at that very token. Learned positions end with
    the context, so a row that goes on beyond it loses its beginning; every other kind of positions goes on.
    """
    context = network.config.context
    if getattr(network.config, "positions", None) != "learned" or tokens_RT.shape[1] <= context:
        return tokens_RT, last_R
    skipped_R = (last_R + 1 - context).clamp(min=0)
    places_RT = skipped_R[:, None] + torch.arange(context, device=last_R.device)
    return tokens_RT.gather(1, places_RT), last_R - skipped_R
