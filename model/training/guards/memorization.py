"""How much of its training text a model has memorized, measured while it trains: a sign of overfitting that the loss hides.

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
