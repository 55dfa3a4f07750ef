"""A step that was handed to the device, and its line of the step log, which can be read once it is done."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from model.hardware.transfers import Fetch
from model.objectives.protocol import Objective, term_means
from model.training.engine import Update
from model.training.telemetry.telemetry import Moment


@dataclass
class BegunStep:
    """`units`: of the whole batch. `waited`: seconds spent waiting for rows. `ended`: when it was computed."""

    step: int
    units: Mapping[str, float]
    update: Update
    numbers: Fetch
    waited: float
    ended: Moment

    @classmethod
    def of(cls, step: int, units: Mapping[str, float], update: Update, sums: Tensor, waited: float) -> BegunStep:
        """Begin to fetch the numbers of an update. `sums`: the terms' sums over all workers, on the device."""
        beside = (update.norm, *(value for value in update.metrics.values() if isinstance(value, Tensor)))
        numbers = Fetch(torch.cat((sums, *(value.double()[None].to(sums.device) for value in beside))))
        return cls(step, units, update, numbers, waited, Moment(sums.device))

    def line(self, objective: Objective) -> dict[str, float]:
        """Return what the step log says of the step, after waiting for it; a measurement that is not a number is left out."""
        terms, update = len(objective.terms), self.update
        sums, (norm, *rest) = (numbers := self.numbers.read())[:terms], numbers[terms:]
        measured = iter(rest)
        metrics = {name: next(measured) if isinstance(value, Tensor) else value for name, value in update.metrics.items()}
        return {
            **term_means(objective, sums, self.units),
            "learning_rate": update.rate,
            **({"grad_norm": norm} if update.applied else {}),
            **{name: value for name, value in metrics.items() if math.isfinite(value)},
        }
