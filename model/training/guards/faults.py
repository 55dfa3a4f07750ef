"""Steps that went wrong: how they are known, and how often and whereto a run goes back.

Guarantee: what is decided follows from the losses and the configuration alone, never from when a run was stopped: `memory` of the step
that a run goes on from is all that it needs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import median
from typing import Any

from model.training.config import TrainConfig

NORMAL = 1.4826  # a normal distribution's standard deviation, in median distances from its median


class TrainingError(RuntimeError):
    """Training cannot go on: the numbers are no longer numbers, or none that one may go on with."""


class Faults:
    """Watches each step; `moved` is how many rows of the order have been left out before an update."""

    def __init__(self, train: TrainConfig) -> None:
        self._train, self._guards = train, train.guards
        self._losses: list[float] = []
        self._left_out: list[tuple[int, int]] = []
        self._batches = 0
        self._rollbacks = 0

    def moved(self, update: int) -> int:
        """Rows left out by all rollbacks before update number `update`, from 0."""
        return sum(rows for first, rows in self._left_out if first <= update)

    def found(self, step: int, line: Mapping[str, float]) -> str:
        """What is wrong with a finished step, in words; empty: nothing, and its loss is remembered.

        `line` has no `grad_norm` where the update was skipped on purpose, as fp16 does. Raises TrainingError where the policy is to stop.
        """
        for name, key in (("loss", "loss"), ("gradient norm", "grad_norm")):
            if not math.isfinite(value := line.get(key, 0.0)):
                return self._judged(self._guards.on_nan, step, f"the {name} is {value}")
        if spike := self._spike(line["loss"]):
            return self._judged(self._guards.on_spike, step, spike)
        if self._guards.on_spike != "ignore":
            self._losses = [*self._losses, line["loss"]][-self._guards.spike_window :]
        return ""

    def roll_back(self, step: int) -> int:
        """Leave out the data of a bad step; the step to go back to."""
        base = (step - 1) // self._guards.rollback_every_steps * self._guards.rollback_every_steps
        first = max(base, step - self._guards.skip_steps)
        self._left_out.append((first, sum(map(self._train.batch_at, range(first, step)))))
        self._batches += step - first
        self._rollbacks += 1
        return base

    def wants_checkpoint(self, step: int) -> bool:
        """Whether a rollback might go back to this step."""
        return self._guards.rolls_back and step % self._guards.rollback_every_steps == 0

    def metrics(self) -> dict[str, float]:
        """For the history's line of a step."""
        return {"rollbacks": float(self._rollbacks), "skipped_batches": float(self._batches)} if self._guards.rolls_back else {}

    def memory(self) -> dict[str, Any]:
        """All that `remember` needs, as JSON holds it exactly."""
        return {"losses": self._losses, "left_out": self._left_out, "batches": self._batches, "rollbacks": self._rollbacks}

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._left_out = [(first, rows) for first, rows in memory["left_out"]]
        self._batches, self._rollbacks = memory["batches"], memory["rollbacks"]
        self.compare_with(memory)

    def compare_with(self, memory: Mapping[str, Any]) -> None:
        """Compare with the losses before an earlier step, and keep in mind what was left out since."""
        self._losses = list(memory["losses"])

    def _spike(self, loss: float) -> str:
        guards = self._guards
        if guards.on_spike == "ignore" or len(self._losses) < guards.spike_window:
            return ""
        middle = median(self._losses)
        limit = middle + guards.spike_deviations * NORMAL * median(abs(value - middle) for value in self._losses)
        if loss <= limit:
            return ""
        return f"the loss is {loss:.4f}, a spike above {limit:.4f} (median {middle:.4f} of {guards.spike_window} steps)"

    def _judged(self, policy: str, step: int, what: str) -> str:
        way_out = f"lower learning_rate={self._train.learning_rate} or clip={self._train.clip}, or look at the rows of this step"
        if policy == "stop":
            raise TrainingError(f"step {step}: {what}; {way_out}")
        if self._rollbacks == self._guards.most_rollbacks:
            raise TrainingError(f"step {step}: {what}, after most_rollbacks={self._rollbacks} rollbacks; {way_out}")
        return what
