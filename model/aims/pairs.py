"""What aims of preferences share: how likely a network finds both answers of held-out pairs, and its margin of the chosen one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from model.aims.protocol import Aimed, HeldOut
from model.aims.rows import held_out_rows, read_units
from model.evaluation.units import Units

if TYPE_CHECKING:
    from torch import Tensor

    from model.networks.network import Network

Score = Callable[["Tensor", "Tensor"], "Tensor"]  # (log-probability, length) of answers -> what is compared of them


def pair_margins(network: Network, held_out: HeldOut, score: Score) -> Aimed:
    """Measure by how much more the chosen answer of each pair has of `score`; `preferred`: of how many pairs it has more."""
    import torch

    from model.objectives.answers import read_answers, stack_pairs

    def read(network: Network, batch: Mapping[str, Tensor]) -> Tensor:
        scores_R = score(read_answers(network, batch).logp_R.double(), batch["counts"].sum(dim=1).clamp(min=1))
        chosen_B, rejected_B = scores_R.chunk(2)
        return torch.stack([chosen_B - rejected_B], dim=1)

    rows = held_out_rows(held_out, network)
    chosen, found = read_units(network, rows, held_out, stack_pairs, read, 2 * rows.metadata.sequence_length)
    margin = found[:, 0]
    return Aimed(Units(chosen, margin, np.ones_like(margin)), {"preferred": float((margin > 0).mean())})
