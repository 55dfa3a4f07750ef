"""An objective over rows of tokens for a network with experts, which keeps these in even use.

Its terms are the own objective's, then both losses of the router, each the mean over the layers and over sequences: a product of shares of
the whole batch would not be a sum over its micro-batches, and so depend on how they are divided. Padding counts in none.
The network notes in its forward pass whom its experts chose; `Network.expert_counts` is what a step's micro-batches add up before biases
move (see `model/layers/experts.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from model.layers.config import ExpertsConfig, LossBalance
from model.networks.network import Network
from model.objectives.next_token import NextToken
from model.objectives.protocol import POLICY, Rows, Term

PAD = 0  # <|pad|>, behind the last token of a row


@dataclass(frozen=True)
class Routed:
    """`own`, whose one forward pass for `sums` is of its batch's `tokens`; units are those of `own`, and sequences."""

    own: NextToken
    settings: ExpertsConfig

    @property
    def reads(self) -> tuple[str, ...]:
        """Kinds of shards of its rows."""
        return self.own.reads

    @property
    def models(self) -> tuple[str, ...]:
        """The frozen models of the own objective."""
        return self.own.models

    @property
    def terms(self) -> tuple[Term, ...]:
        """The own terms, then how evenly experts are used (1: evenly), then the size of the router's logits."""
        balance = self.settings.balance.weight if isinstance(self.settings.balance, LossBalance) else 0.0
        own = tuple(term._replace(name="next_token_loss") if balance or self.settings.router_loss else term for term in self.own.terms)
        routers = Term("expert_balance", "sequences", balance), Term("router_loss", "sequences", self.settings.router_loss)
        return (*own, *routers)

    def units(self, rows: Rows) -> dict[str, float]:
        return {**self.own.units(rows), "sequences": float(len(rows["tokens"]))}

    def globals(self, rows: Rows) -> dict[str, float]:
        return self.own.globals(rows)

    def batch(self, rows: Rows) -> dict[str, NDArray[Any]]:
        return self.own.batch(rows)

    def sums(self, models: Mapping[str, Network], batch: Mapping[str, Tensor]) -> Tensor:
        network = models[POLICY]
        with network.noting(batch["tokens"] != PAD) as routing:
            sums = self.own.sums(models, batch)
        network.expert_counts = routing.counts()
        return torch.cat((sums, routing.losses()))

    def drawn(self, models: Mapping[str, Network], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the batch with targets drawn from the model's own probabilities."""
        return self.own.drawn(models, batch)
