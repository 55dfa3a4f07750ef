"""Bad steps: how they are detected, and how far and how often a run rolls back.

Guarantee: every decision follows from the losses and the configuration alone, never from when a run was stopped. `state`, saved with each
checkpoint, is all that a resumed run needs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import median
from typing import Any

from model.training.config import TrainConfig

NORMAL = 1.4826  # of a normal distribution: standard deviation / median absolute deviation


class TrainingError(RuntimeError):
    """Training can't continue: a loss or gradient is not finite, or spikes, and the guards say to stop."""


class Faults:
    """Checks each step, and remembers which data rollbacks have skipped."""

    def __init__(self, train: TrainConfig) -> None:
        self._train, self._guards = train, train.guards
        self._losses: list[float] = []
        self._skipped: list[tuple[int, int]] = []
        self._skipped_batches = 0
        self._rollbacks = 0

    def skipped_rows(self, update: int) -> int:
        """Rows that all rollbacks have skipped before update number `update`, from 0."""
        return sum(rows for first, rows in self._skipped if first <= update)

    def check(self, step: int, line: Mapping[str, float]) -> str:
        """Return what is wrong with a finished step; empty if nothing is, and then its loss joins those that later ones are compared with.

        `line` has no `grad_norm` where the update was skipped on purpose, as under fp16. Raise TrainingError if the policy is to stop.
        """
        for name, key in (("loss", "loss"), ("gradient norm", "grad_norm")):
            if not math.isfinite(value := line.get(key, 0.0)):
                return self._apply_policy(self._guards.on_nan, step, f"the {name} is {value}")
        if spike := self._spike(line["loss"]):
            return self._apply_policy(self._guards.on_spike, step, spike)
        if self._guards.on_spike != "ignore":
            self._losses = [*self._losses, line["loss"]][-self._guards.spike_window :]
        return ""

    def roll_back(self, step: int) -> int:
        """Skip the data of a bad step from now on; return the step to go back to."""
        base = (step - 1) // self._guards.rollback_every_steps * self._guards.rollback_every_steps
        first = max(base, step - self._guards.skip_steps)
        self._skipped.append((first, sum(map(self._train.batch_at, range(first, step)))))
        self._skipped_batches += step - first
        self._rollbacks += 1
        return base

    def wants_checkpoint(self, step: int) -> bool:
        """Whether a rollback may go back to this step."""
        return self._guards.rolls_back and step % self._guards.rollback_every_steps == 0

    def metrics(self) -> dict[str, float]:
        """The step log's fields about rollbacks."""
        return {"rollbacks": float(self._rollbacks), "skipped_batches": float(self._skipped_batches)} if self._guards.rolls_back else {}

    def state(self) -> dict[str, Any]:
        """The state for `restore`, in types that JSON holds exactly."""
        return {"losses": self._losses, "left_out": self._skipped, "batches": self._skipped_batches, "rollbacks": self._rollbacks}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state."""
        self._skipped = [(first, rows) for first, rows in state["left_out"]]
        self._skipped_batches, self._rollbacks = state["batches"], state["rollbacks"]
        self.restore_losses(state)

    def restore_losses(self, state: Mapping[str, Any]) -> None:
        """Compare with the losses of an earlier state, but keep what has been skipped since."""
        self._losses = list(state["losses"])

    def _spike(self, loss: float) -> str:
        guards = self._guards
        if guards.on_spike == "ignore" or len(self._losses) < guards.spike_window:
            return ""
        middle = median(self._losses)
        limit = middle + guards.spike_deviations * NORMAL * median(abs(value - middle) for value in self._losses)
        if loss <= limit:
            return ""
        return f"the loss is {loss:.4f}, a spike above {limit:.4f} (median {middle:.4f} of {guards.spike_window} steps)"

    def _apply_policy(self, policy: str, step: int, what: str) -> str:
        way_out = f"lower learning_rate={self._train.learning_rate} or clip={self._train.clip}, or look at the rows of this step"
        if policy == "stop":
            raise TrainingError(f"step {step}: {what}; {way_out}")
        if self._rollbacks == self._guards.most_rollbacks:
            raise TrainingError(f"step {step}: {what}, after most_rollbacks={self._rollbacks} rollbacks; {way_out}")
        return what
