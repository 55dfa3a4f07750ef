"""What Kahneman-Tversky optimization is for: good held-out answers likelier, bad ones less, each for itself.

    beta log p(answer) of a good answer, -beta log p(answer) of a bad one

Measured before and after the step, the difference is the mean reward of good answers less that of bad ones, weighted by how many there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from model.aims.protocol import AimBase, Aimed, HeldOut

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from model.networks.network import Network


class SignedRewardAim(AimBase):
    """How likely good answers are, and how unlikely bad ones."""

    MEASURE: ClassVar[str] = "signed_reward"
    TITLE: ClassVar[str] = "reward of held-out good answers, less that of bad ones"
    UNIT: ClassVar[str] = "beta times nats"
    COUNTED: ClassVar[str] = "answers"

    kind: Literal["signed_reward"] = Field("signed_reward", description="aim: good answers likelier, bad ones less, each for itself")
    beta: float = Field(0.1, gt=0, description="factor of a log-probability, as the step has it")

    def measure(self, network: Network, held_out: HeldOut) -> Aimed:
        """Measure a model on rows of labelled answers, or on both answers of pairs."""
        import numpy as np

        from model.aims.rows import held_out_rows, read_units
        from model.evaluation.units import Units
        from model.loading.joined_rows import labelled

        rows = held_out_rows(held_out, network)
        chosen, read = read_units(network, labelled(rows), held_out, _answers, self._signed, rows.metadata.sequence_length)
        return Aimed(Units(chosen, read[:, 0], np.ones(len(read))), {})

    def _signed(self, network: Network, batch: Mapping[str, Tensor]) -> Tensor:
        import torch

        from model.objectives.answers import read_answers

        reward_B = self.beta * read_answers(network, batch).logp_R.double()
        return torch.where(batch["desirable"], reward_B, -reward_B)[:, None]


def _answers(rows: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    from model.objectives.answers import answer_batch

    return {**answer_batch([rows["tokens"]], [rows["loss"]]), "desirable": rows["desirable"]}
