"""The validation loss over a run: the best so far, signs of overfitting, and when to stop early.

Guarantee: as for faults, `memory` is all that a run needs to go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.training.guards.config import GuardsConfig


class Validation:
    """Told of every step's loss and of every measurement; tells of the best, and of the end."""

    def __init__(self, guards: GuardsConfig) -> None:
        self._guards = guards
        self._memory: dict[str, Any] = {"best": None, "best_step": 0, "since": 0, "sum": 0.0, "count": 0}

    @property
    def best_step(self) -> int:
        """The step of the lowest validation loss; 0: none was measured."""
        return int(self._memory["best_step"])

    def trained(self, loss: float) -> None:
        """A step's loss, for the mean that validation is compared with."""
        self._memory["sum"] += loss
        self._memory["count"] += 1

    def measured(self, step: int, loss: float) -> dict[str, float]:
        """Metrics of a measurement, for the history's line.

        `val_gap`: validation loss above the mean training loss since the measurement before, nats; a gap that grows is overfitting.
        `best_val_loss`, `best_step`: the lowest so far. `evaluations_since_best`: 0 is a new best; more says that it rises.
        """
        memory = self._memory
        new = memory["best"] is None or loss < memory["best"] - self._guards.min_delta
        memory.update({"best": loss, "best_step": step, "since": 0} if new else {"since": memory["since"] + 1})
        gap = loss - memory["sum"] / max(1, memory["count"])
        memory.update({"sum": 0.0, "count": 0})
        return {
            "val_gap": gap,
            "best_val_loss": memory["best"],
            "best_step": float(memory["best_step"]),
            "evaluations_since_best": float(memory["since"]),
        }

    @property
    def exhausted(self) -> str:
        """Why the run should end now, in words; empty: it should not."""
        if not self._guards.patience or self._memory["since"] < self._guards.patience:
            return ""
        best, step = self._memory["best"], self.best_step
        return f"no validation loss below {best:.4f}, that of step {step}, for patience={self._guards.patience} measurements"

    def memory(self) -> dict[str, Any]:
        return dict(self._memory)

    def remember(self, memory: Mapping[str, Any]) -> None:
        self._memory = dict(memory)
