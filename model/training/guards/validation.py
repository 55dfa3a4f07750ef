"""Watch a run for overfitting: its validation loss, when to stop early, and how much training text is memorized.

`state`, saved with each checkpoint, is all that a resumed run needs.

How much of its training text a model has memorized, measured while it trains: a sign of overfitting that the loss hides.

A passage of a training row is memorized if, after its first half, the most likely token is the text's own at every position of its second
half. That is the case exactly when a greedy continuation of the first half is the text (Carlini et al., 2023, "Quantifying memorization",
call it extractable), so one forward pass shows it without generating.

Guarantee: the passages depend on the shards and the seed alone; the share is the same on any number of workers, ties aside.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from numpy.typing import NDArray
from torch import Tensor

from model.networks.network import Network
from model.objectives.protocol import POLICY, Rows, Term
from model.training.guards.config import GuardsConfig


class Validation:
    """Follows the training loss of every step and every measured validation loss."""

    def __init__(self, guards: GuardsConfig) -> None:
        self._guards = guards
        self._state: dict[str, Any] = {"best": None, "best_step": 0, "since": 0, "sum": 0.0, "count": 0}

    @property
    def best_step(self) -> int:
        """The step of the lowest validation loss; 0 if none was measured."""
        return int(self._state["best_step"])

    def trained(self, loss: float) -> None:
        """Add a step's training loss to the mean that the next measurement is compared with."""
        self._state["sum"] += loss
        self._state["count"] += 1

    def measured(self, step: int, loss: float) -> dict[str, float]:
        """Record a measured validation loss; return its metrics for the step log.

        `val_gap`: validation loss minus the mean training loss since the previous measurement, nats; a growing gap means overfitting.
        `best_val_loss`, `best_step`: the lowest so far. `evaluations_since_best`: measurements since then; 0 is a new best.
        """
        state = self._state
        new = state["best"] is None or loss < state["best"] - self._guards.min_delta
        state.update({"best": loss, "best_step": step, "since": 0} if new else {"since": state["since"] + 1})
        gap = loss - state["sum"] / max(1, state["count"])
        state.update({"sum": 0.0, "count": 0})
        return {
            "val_gap": gap,
            "best_val_loss": state["best"],
            "best_step": float(state["best_step"]),
            "evaluations_since_best": float(state["since"]),
        }

    @property
    def patience_exhausted(self) -> str:
        """Why the run should stop early; empty if it should not."""
        if not self._guards.patience or self._state["since"] < self._guards.patience:
            return ""
        best, step = self._state["best"], self.best_step
        return f"no validation loss below {best:.4f}, that of step {step}, for patience={self._guards.patience} measurements"

    def state(self) -> dict[str, Any]:
        """The state for `restore`, in types that JSON holds exactly."""
        return dict(self._state)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state."""
        self._state = dict(state)


class MemorizationProbe:
    """An objective that only measures: units are passages, and the metric counts those that are memorized."""

    reads: ClassVar[tuple[str, ...]] = ("pretrain",)
    models: ClassVar[tuple[str, ...]] = ()
    terms: ClassVar[tuple[Term, ...]] = (Term("copied", "passages"),)

    def units(self, rows: Rows) -> dict[str, float]:
        return {"passages": float(len(rows["tokens"]))}

    def globals(self, rows: Rows) -> dict[str, float]:
        return {}

    def batch(self, rows: Rows) -> dict[str, NDArray[Any]]:
        return {"tokens": rows["tokens"]}

    def sums(self, models: Mapping[str, Network], batch: Mapping[str, Tensor]) -> Tensor:
        """Return how many passages of `tokens` [passages, 2 x copy_tokens] continue their first half with the second."""
        tokens_BT = batch["tokens"]
        half = tokens_BT.shape[1] // 2
        predicted_BT = models[POLICY].logits({"tokens": tokens_BT[:, :-1]})[:, half - 1 :].argmax(-1)
        copied = (predicted_BT == tokens_BT[:, half:]).all(dim=1).sum().float()
        return copied[None]
