"""How much of its training text a model recites, measured while it trains: the sign of overfitting that a loss hides.

A passage of a training row recites when, after its first half, the likeliest token is the text's own at every place of its second half:
just when a greedy continuation of the first half is the text (Carlini et al., 2023, "Quantifying memorization", call it extractable).
So one forward pass tells it, without generating.

Guarantee: the passages depend on the shards and the seed alone; the share is the same on any number of workers, but for ties.
When it can't: rows without a passage long enough are passed over; where none has one, nothing is measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from model.networks.decoder import Decoder
from model.objectives.objective import Rows


class Reciting:
    """An objective that only measures: units are passages, and the metric is how many of them recite."""

    shard_kinds: ClassVar[tuple[str, ...]] = ("pretrain",)
    needs_reference: ClassVar[bool] = False
    metrics: ClassVar[tuple[str, ...]] = ("copied",)

    def units(self, rows: Rows) -> int:
        return len(rows["tokens"])

    def batch(self, rows: Rows) -> dict[str, NDArray[Any]]:
        return {"tokens": rows["tokens"]}

    def sums(self, decoder: Decoder, batch: Mapping[str, Tensor], reference: Decoder | None) -> tuple[Tensor, Tensor]:
        """No loss, and the passages in `tokens` [passages, 2 x copy_tokens] whose second half follows from the first."""
        tokens_BT = batch["tokens"]
        half = tokens_BT.shape[1] // 2
        likeliest_BT = decoder(tokens_BT[:, :-1])[:, half - 1 :].argmax(-1)
        copied = (likeliest_BT == tokens_BT[:, half:]).all(dim=1).sum().float()
        return torch.zeros((), device=tokens_BT.device), copied[None]
