"""What a reward model is for: to tell the chosen answer of held-out pairs from the rejected one.

-log sigmoid(s(chosen) - s(rejected))     Bradley and Terry's loss: ln 2 for a coin, and for a model that has no head to score with
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from model.aims.protocol import AimBase, Aimed, HeldOut

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from model.networks.network import Network


class RankingAim(AimBase):
    """The loss of held-out pairs under the scores of both answers."""

    MEASURE: ClassVar[str] = "ranking_loss"
    TITLE: ClassVar[str] = "Bradley-Terry loss of held-out pairs"
    UNIT: ClassVar[str] = "nats a pair"
    COUNTED: ClassVar[str] = "pairs"
    LOWER_IS_BETTER: ClassVar[bool] = True

    kind: Literal["ranking"] = Field("ranking", description="aim: to score the chosen answer higher than the rejected one")

    def open(self, directory: Path) -> Network:
        """Return the model with its head; with one that reads 0 of everything if it has none, as before it learned to score."""
        import torch

        from model.networks.scalar_heads import add_head, has_head, load_with_head
        from model.objectives.reward_model import HEAD

        if has_head(directory, HEAD):
            network = load_with_head(directory, HEAD)
        else:
            network = super().open(directory)
            add_head(network, HEAD)
        return network.to("cuda") if torch.cuda.is_available() else network

    def measure(self, network: Network, held_out: HeldOut) -> Aimed:
        """Measure a model on rows of pairs; `accuracy`: the share whose chosen answer scores higher, equal scores counting half."""
        import numpy as np

        from model.aims.rows import held_out_rows, read_units
        from model.evaluation.units import Units

        rows = held_out_rows(held_out, network)
        chosen, read = read_units(network, rows, held_out, _both_answers, _ranked, 2 * rows.metadata.sequence_length)
        return Aimed(Units(chosen, read[:, 0], np.ones(len(read))), {"accuracy": float(read[:, 1].mean())})


def _both_answers(rows: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
    from model.objectives.reward_model import RewardModel

    return RewardModel().batch(rows)


def _ranked(network: Network, batch: Mapping[str, Tensor]) -> Tensor:
    """Return the loss of each pair, and whether it is ranked rightly: 1, 0, or a half for equal scores."""
    import torch
    from torch.nn.functional import logsigmoid

    from model.objectives.reward_model import read_scores

    chosen_B, rejected_B = read_scores(network, batch).double().chunk(2)
    margin_B = chosen_B - rejected_B
    return torch.stack([-logsigmoid(margin_B), (margin_B.sign() + 1) / 2], dim=1)
