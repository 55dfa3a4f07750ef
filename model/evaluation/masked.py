"""Measure how well a bidirectional network fills gaps in packed rows: loss and accuracy on hidden tokens.

The same tokens are hidden for every model, regardless of its training: 15 % of each row's tokens, of which 80 % become the mask, 10 %
another token, and 10 % stay (Devlin et al., 2019). Which ones follows from the seed and the row's number in its split. A masked loss is
not a bound on the probability of a text, so it has no bits per byte and does not compare with next-token loss.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.shards.reader import ShardReader
from model.evaluation.intervals import bootstrap_ratio
from model.evaluation.loss import open_rows
from model.evaluation.units import Measured, Units

if TYPE_CHECKING:
    from model.networks.network import Network


def evaluate_masked(
    model: Network,
    shards_dir: Path,
    *,
    rows: int | None = None,
    batch: int = 16,
    seed: int = 0,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> Measured:
    """Return masked_loss (nats a hidden token) and masked_accuracy (share found), each also as _error, _low and _high from a bootstrap over
    rows, the number of rows and hidden tokens, and the units of both. Raise ValueError for an empty split."""
    reader, chosen = open_rows(shards_dir, rows, seed)
    nats, right, hidden = row_sums(model, reader, chosen, batch, seed)
    metrics, units = {"rows": float(len(chosen)), "hidden": float(hidden.sum())}, dict[str, Units]()
    for name, sums in (("masked_loss", nats), ("masked_accuracy", right)):
        metrics |= bootstrap_ratio(sums, hidden, seed=seed, resamples=resamples, confidence=confidence).metrics(name)
        # As many tokens are hidden of any row of a length, so weights don't tell one text from another.
        units[name] = Units(chosen, sums, hidden, reader.metadata.digest)
    return Measured(metrics, units)


def row_sums(
    model: Network, reader: ShardReader, chosen: NDArray[np.int64], batch: int, seed: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return each chosen row's summed nats, hidden tokens found likeliest, and hidden tokens; float64 [rows]."""
    import torch
    from torch.nn.functional import cross_entropy

    from model.objectives.masked import Masked, hide
    from model.objectives.protocol import IGNORED

    device, objective = next(model.parameters()).device, Masked(seed=seed)
    sums: list[NDArray[Any]] = []
    with torch.no_grad():
        for start in range(0, len(chosen), batch):
            numbers = chosen[start : start + batch]
            arrays = objective.batch({**reader.rows(numbers), "position": numbers})
            row = {name: torch.from_numpy(np.ascontiguousarray(array)).to(device) for name, array in arrays.items()}
            logits_BTV = model.logits({**row, "tokens": hide(row["tokens"], row["becomes"], model.vocab_size)}).float()
            hidden_BT, targets_BT = row["targets"] != IGNORED, row["targets"]
            nats_BT = cross_entropy(logits_BTV.mT, targets_BT, ignore_index=IGNORED, reduction="none").double()
            right_BT = (logits_BTV.argmax(-1) == targets_BT) & hidden_BT
            sums.append(torch.stack([nats_BT.sum(1), right_BT.sum(1).double(), hidden_BT.sum(1).double()]).cpu().numpy())
    nats, right, hidden = np.concatenate(sums, axis=1)
    return nats, right, hidden
