"""An objective with replay: it mixes in pretraining rows, on which the next token is learned as in pretraining.

    loss = own loss + weight * mean negative log-likelihood of the replayed tokens, in nats

Each part is divided by its own units over the whole global batch. It keeps what a model knew from being overwritten (experience replay,
Rolnick et al. 2019; the pretraining mix of Ouyang et al. 2022).

Guarantee: every micro-batch computes both parts, so all workers make the same number of passes, as ZeRO 3 needs. Where
it has no row of a part, one row of padding is used, which does not count.
Cost: a second, smaller pass in each micro-batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.networks.network import Network
from model.objectives.next_token import NextToken
from model.objectives.protocol import LOSS, Cacheable, Objective, Rows, Surveys, Term, surveyed

REPLAYED = "replayed"  # flag of a row: whether it is replayed
PREFIX = "replay."  # of the names of replayed rows' columns
HAS_OWN = "has_own"


@dataclass(frozen=True)
class Replayed:
    """`own` over its rows and `next_token` over the replayed ones; units are those of `own`, and `replayed` tokens.

    Metrics: those of `own`, whose `loss` is called `own_name`, and `replay_loss`. Rows hold
    the flag `replayed` and the columns of both kinds, those of replayed rows under `replay.<name>`.
    """

    own: Objective
    own_name: str
    weight: float = 1.0
    next_token: NextToken = field(default_factory=NextToken)

    @property
    def reads(self) -> tuple[str, ...]:
        """Kinds of shards of its own rows."""
        return self.own.reads

    @property
    def models(self) -> tuple[str, ...]:
        """The frozen models of the own objective; replayed rows need none."""
        return self.own.models

    @property
    def surveyed(self) -> tuple[str, ...]:
        """Return the own objective's statistics of the whole global batch."""
        return surveyed(self.own)

    @property
    def terms(self) -> tuple[Term, ...]:
        """The own terms, then the replayed rows' term."""
        own = (term._replace(name=self.own_name) if term.name == LOSS else term for term in self.own.terms)
        return (*own, Term("replay_loss", "replayed", self.weight))

    def units(self, rows: Rows) -> dict[str, float]:
        own, replayed = _parts(rows)
        return {**self.own.units(own), "replayed": self.next_token.units(replayed)["tokens"]}

    def globals(self, rows: Rows) -> dict[str, float]:
        return self.own.globals(_parts(rows)[0])

    def batch(self, rows: Rows) -> dict[str, NDArray[Any]]:
        own, replayed = _parts(rows)
        count = len(own["position"])
        beside = self.next_token.batch(replayed if len(replayed["position"]) else _padding(replayed))
        return {
            **self.own.batch(own if count else _padding(own)),
            HAS_OWN: np.array([float(count > 0)], dtype=np.float32),
            **{f"{PREFIX}{name}": values for name, values in beside.items()},
        }

    def sums(self, models: Mapping[str, Network], batch: Mapping[str, Tensor]) -> Tensor:
        replayed = {name.removeprefix(PREFIX): values for name, values in batch.items() if name.startswith(PREFIX)}
        # A pair of padding has a loss, ln 2, and so has to be taken out.
        return torch.cat((self.own.sums(models, _own(batch)) * batch[HAS_OWN], self.next_token.sums(models, replayed)))

    def cache(self, models: Mapping[str, Network], batch: Mapping[str, Tensor]) -> Tensor:
        """Return the own objective's columns, from a batch of its own rows alone."""
        return cast(Cacheable, self.own).cache(models, batch)

    def survey(self, models: Mapping[str, Network], batch: Mapping[str, Tensor]) -> Tensor:
        """Return the own objective's part of its statistics."""
        return cast(Surveys, self.own).survey(models, _own(batch)) * batch[HAS_OWN]


def _own(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The batch of the own objective."""
    return {name: values for name, values in batch.items() if not name.startswith(PREFIX) and name != HAS_OWN}


def _parts(rows: Rows) -> tuple[Rows, Rows]:
    """Return the own rows, and the replayed ones."""
    replayed = rows[REPLAYED]
    own = {name: values[~replayed] for name, values in rows.items() if name != REPLAYED and not name.startswith(PREFIX)}
    columns = {name.removeprefix(PREFIX): values[replayed] for name, values in rows.items() if name.startswith(PREFIX)}
    return own, {**columns, "position": rows["position"][replayed]}


def _padding(rows: Rows) -> Rows:
    """Return one row of padding with these columns, two tokens long."""
    shapes = {name: (1, *(2 if axis == 0 else size for axis, size in enumerate(values.shape[1:]))) for name, values in rows.items()}
    return {name: np.zeros(shapes[name], dtype=values.dtype) for name, values in rows.items()}
