"""The loss on packed rows: nats a token, perplexity, and bits a byte of text.

Guarantee: exactly the tokens that the shards' loss mask marks count, each seeing its own document alone. Sums are kept
per row in float64, so batch size moves the result by rounding only. Nothing is drawn when all rows are measured.
Cost: one forward pass over the rows.
When it can't: an empty split raises ValueError.

Bits per byte = mean nats a target / ln 2 x (targets of the split / bytes of the split). On a sample of rows the ratio of
targets to bytes is that of the whole split, taken from shards.json: the sample is assumed to be as dense as the split.
Over all rows it is exact. It compares models whatever their tokenizers, which loss does not: where a tokenizer wrote `<|unk|>`
the model is spared the spelling, so that is charged as well, each of these bytes and an end mark as one of 257 equal symbols
(8.006 bits). A tokenizer that loses text can't look better for it.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from model.evaluation.intervals import bootstrap_ratio
from model.loading.shards import ShardReader

if TYPE_CHECKING:
    from model.networks.decoder import Decoder


def evaluate_loss(
    model: Decoder,
    shards_dir: Path,
    *,
    rows: int | None = None,
    batch: int = 16,
    seed: int = 0,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> dict[str, float]:
    """loss (nats), perplexity and bits_per_byte, each also as _low and _high; loss_error and bits_per_byte_error
    (standard errors); rows and targets measured. Intervals: bootstrap over rows."""
    reader = ShardReader(shards_dir)
    chosen = choose_rows(len(reader), rows, seed)
    if not len(chosen):
        raise ValueError(f"{shards_dir} holds no rows to measure: the split is empty or shorter than one sequence")
    nats, targets = row_losses(model, reader, chosen, batch)
    loss = bootstrap_ratio(nats, targets, seed=seed, resamples=resamples, confidence=confidence)
    metrics = loss.metrics("loss") | {
        "perplexity": _exp(loss.value),
        "perplexity_low": _exp(loss.low),
        "perplexity_high": _exp(loss.high),
        "rows": float(len(chosen)),
        "targets": float(targets.sum()),
    }
    if reader.metadata.bytes:
        held = reader.metadata
        spelling = (held.unknown_bytes + held.unknown) * math.log2(257) / held.bytes
        metrics |= loss.scaled(held.targets / held.bytes / math.log(2)).plus(spelling).metrics("bits_per_byte")
    return metrics


def choose_rows(available: int, limit: int | None, seed: int) -> NDArray[np.int64]:
    """All rows, or `limit` of them drawn without replacement, in rising order; int64."""
    if limit is None or limit >= available:
        return np.arange(available, dtype=np.int64)
    generator = np.random.Generator(np.random.Philox(seed))
    return np.sort(generator.choice(available, size=limit, replace=False)).astype(np.int64)


def row_losses(model: Decoder, reader: ShardReader, chosen: NDArray[np.int64], batch: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Summed nats and number of targets of each chosen row; float64 [rows] both."""
    import torch
    from torch.nn.functional import cross_entropy

    device = next(model.parameters()).device
    nats: list[NDArray[Any]] = []
    targets: list[NDArray[Any]] = []
    with torch.no_grad():
        for start in range(0, len(chosen), batch):
            row = {name: torch.from_numpy(a).to(device) for name, a in reader.rows(chosen[start : start + batch]).items()}
            logits_BTV = model(row["tokens"][:, :-1], documents_BT=row["document"][:, :-1])
            counted_BT = row["loss"][:, 1:]
            nats_BT = cross_entropy(logits_BTV.float().mT, row["tokens"][:, 1:], reduction="none").double()
            nats.append(torch.where(counted_BT, nats_BT, 0.0).sum(1).cpu().numpy())
            targets.append(counted_BT.sum(1).double().cpu().numpy())
    return np.concatenate(nats), np.concatenate(targets)


def _exp(value: float) -> float:
    """e to the value; infinity where that is no number any more, which every gate refuses."""
    return math.exp(value) if value < 700 else math.inf
