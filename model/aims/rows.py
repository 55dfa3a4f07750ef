"""Held-out rows of an aim, read by a network a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.shards.reader import ShardReader
from model.aims.protocol import Aimed, HeldOut
from model.evaluation.intervals import Units
from model.evaluation.loss import LOGITS, choose_rows
from model.loading.joined_rows import RowReader
from model.objectives.answers import read_answers, stack_pairs

if TYPE_CHECKING:
    from torch import Tensor

    from model.networks.network import Network

Batch = Callable[[Mapping[str, NDArray[Any]]], Mapping[str, NDArray[Any]]]
Read = Callable[["Network", Mapping[str, "Tensor"]], "Tensor"]
AT_ONCE = 16


def held_out_rows(held_out: HeldOut, network: Network) -> ShardReader:
    """Open the packed rows. Raise ValueError for none, and ShardError for those of another vocabulary."""
    if held_out.rows is None:
        raise ValueError("rows: this aim is measured on held-out rows, and none were given")
    reader = ShardReader(held_out.rows)
    if not len(reader):
        raise ValueError(f"{held_out.rows} has no rows to measure: nothing was held out; hold more out, or leave the step's gate away")
    if reader.metadata.vocab_size != network.vocab_size:
        raise ValueError(
            f"{held_out.rows} holds tokens of a vocabulary of {reader.metadata.vocab_size}, and the model has {network.vocab_size}; give "
            "it rows of its own tokenizer"
        )
    return reader


def read_units(
    network: Network, rows: RowReader, held_out: HeldOut, batch: Batch, read: Read, width: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the numbers of the measured units, and what `read` says of each: fp64 [units, columns].

    `batch`: turns rows into what `read` takes, whose answer is [rows, columns]. `width`: tokens of a row, for the size of a batch.
    """
    import torch

    chosen = choose_rows(len(rows), held_out.most, held_out.seed)
    size, device = max(1, min(AT_ONCE, LOGITS // (width * network.vocab_size))), next(network.parameters()).device
    found = []
    with torch.no_grad():
        for start in range(0, len(chosen), size):
            arrays = batch(rows.rows(chosen[start : start + size]))
            tensors = {name: torch.from_numpy(np.ascontiguousarray(array)).to(device) for name, array in arrays.items()}
            found.append(read(network, tensors).double().cpu().numpy())
    return chosen, np.concatenate(found)


Score = Callable[["Tensor", "Tensor"], "Tensor"]  # (log-probability, length) of answers -> what is compared of them


def pair_margins(network: Network, held_out: HeldOut, score: Score) -> Aimed:
    """Measure by how much more the chosen answer of each pair has of `score`; `preferred`: of how many pairs it has more."""
    import torch

    def read(network: Network, batch: Mapping[str, Tensor]) -> Tensor:
        scores_R = score(read_answers(network, batch).logp_R.double(), batch["counts"].sum(dim=1).clamp(min=1))
        chosen_B, rejected_B = scores_R.chunk(2)
        return torch.stack([chosen_B - rejected_B], dim=1)

    rows = held_out_rows(held_out, network)
    chosen, found = read_units(network, rows, held_out, stack_pairs, read, 2 * rows.metadata.sequence_length)
    margin = found[:, 0]
    return Aimed(Units(chosen, margin, np.ones_like(margin)), {"preferred": float((margin > 0).mean())})
