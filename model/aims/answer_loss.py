"""What fine-tuning is for: to find held-out answers likely. Nats a target token, of the answers and where they end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from model.aims.protocol import AimBase, Aimed, HeldOut

if TYPE_CHECKING:
    from torch import Tensor

    from model.networks.network import Network


class AnswerLossAim(AimBase):
    """The loss of held-out answers."""

    MEASURE: ClassVar[str] = "answer_loss"
    TITLE: ClassVar[str] = "loss of held-out answers"
    UNIT: ClassVar[str] = "nats a token"
    COUNTED: ClassVar[str] = "rows"
    LOWER_IS_BETTER: ClassVar[bool] = True

    kind: Literal["answer_loss"] = Field("answer_loss", description="aim: to find held-out answers likely")
    within_documents: bool = Field(True, description="restrict attention to the same conversation within a packed row")

    def measure(self, network: Network, held_out: HeldOut) -> Aimed:
        """Measure a model on rows of conversations."""
        from model.aims.rows import held_out_rows, read_units
        from model.evaluation.units import Units
        from model.objectives.sft import Sft

        rows, objective = held_out_rows(held_out, network), Sft(within_documents=self.within_documents)
        chosen, read = read_units(network, rows, held_out, objective.batch, _answer_losses, rows.metadata.sequence_length)
        return Aimed(Units(chosen, read[:, 0], read[:, 1]), {})


def _answer_losses(network: Network, batch: Mapping[str, Tensor]) -> Tensor:
    """Return each row's summed nats and its number of targets."""
    import torch
    from torch.nn.functional import cross_entropy

    from model.objectives.chunked import of_each
    from model.objectives.protocol import IGNORED

    def nats(logits_NV: Tensor, targets_N: Tensor) -> Tensor:
        return cross_entropy(logits_NV.float(), targets_N, ignore_index=IGNORED, reduction="none")

    targets_BT = batch["targets"]
    nats_N = of_each(network, network(batch).flatten(0, 1), targets_BT.flatten(), nats)
    return torch.stack([nats_N.view_as(targets_BT).double().sum(1), (targets_BT != IGNORED).double().sum(1)], dim=1)
