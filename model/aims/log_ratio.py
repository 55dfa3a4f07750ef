"""What direct preference optimization is for: the margin of held-out pairs.

    beta (log p(chosen) - log p(rejected))

Measured before and after the step, the difference is the margin that its loss speaks of, since the model before it is the reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from model.aims.protocol import AimBase, Aimed, HeldOut

if TYPE_CHECKING:
    from model.networks.network import Network


class LogRatioAim(AimBase):
    """By how much the chosen answer of a pair is likelier."""

    MEASURE: ClassVar[str] = "margin"
    TITLE: ClassVar[str] = "margin of held-out pairs"
    UNIT: ClassVar[str] = "beta times nats"
    COUNTED: ClassVar[str] = "pairs"

    kind: Literal["log_ratio"] = Field("log_ratio", description="aim: the chosen answer likelier than the rejected one")
    beta: float = Field(0.1, gt=0, description="factor of the difference, as the step has it")

    def measure(self, network: Network, held_out: HeldOut) -> Aimed:
        """Measure a model on rows of pairs."""
        from model.aims.pairs import pair_margins

        return pair_margins(network, held_out, lambda logp_R, _: self.beta * logp_R)
