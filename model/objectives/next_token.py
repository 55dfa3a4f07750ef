"""Next-token prediction: the summed negative log-likelihood, in nats, of the targets.

Only targets with `loss` true enter the sum. Attention and positions stay inside a document unless `within_documents` is off; where no row
holds more than one document the mask is omitted, which is faster and changes no value that counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from model.networks.decoder import Decoder
from model.objectives.objective import Rows, as_int64

IGNORED = -100  # cross_entropy's default for a target that does not count


@dataclass(frozen=True)
class NextToken:
    """Rows: `tokens`, `document`, `loss`, each [B, C + 1]; units are tokens."""

    within_documents: bool = True
    shard_kinds: ClassVar[tuple[str, ...]] = ("pretrain",)
    needs_reference: ClassVar[bool] = False
    metrics: ClassVar[tuple[str, ...]] = ("loss",)

    def units(self, rows: Rows) -> int:
        return int(np.count_nonzero(rows["loss"][:, 1:]))

    def batch(self, rows: Rows) -> dict[str, NDArray[Any]]:
        tokens, documents = as_int64(rows["tokens"]), rows["document"][:, :-1]
        out = {"tokens": tokens[:, :-1], "targets": np.where(rows["loss"][:, 1:], tokens[:, 1:], IGNORED)}
        if self.within_documents and (documents != documents[:, :1]).any():
            out["documents"] = as_int64(documents)
        return out

    def sums(self, decoder: Decoder, batch: Mapping[str, Tensor], reference: Decoder | None) -> tuple[Tensor, Tensor]:
        return self.sums_of(decoder(batch["tokens"], documents_BT=batch.get("documents")), batch["targets"])

    def sums_of(self, logits_BTV: Tensor, targets_BT: Tensor) -> tuple[Tensor, Tensor]:
        """As `sums`, from logits computed elsewhere."""
        nats = functional.cross_entropy(logits_BTV.flatten(0, 1).float(), targets_BT.flatten(), ignore_index=IGNORED, reduction="sum")
        return nats, nats.detach()[None]
