"""What preferences are for that are counted by token (IPO, SimPO): the margin of held-out pairs, whatever the lengths of their answers.

factor (log p(chosen) / its tokens - log p(rejected) / its tokens)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from model.aims.protocol import AimBase, Aimed, HeldOut

if TYPE_CHECKING:
    from model.networks.network import Network


class TokenRatioAim(AimBase):
    """By how much the chosen answer of a pair is likelier by token."""

    MEASURE: ClassVar[str] = "margin"
    TITLE: ClassVar[str] = "margin of held-out pairs, by token"
    UNIT: ClassVar[str] = "nats a token, times its factor"
    COUNTED: ClassVar[str] = "pairs"

    kind: Literal["token_ratio"] = Field("token_ratio", description="aim: the chosen answer likelier by token than the rejected one")
    factor: float = Field(1.0, gt=0, description="factor of the difference, as the step has it")

    def measure(self, network: Network, held_out: HeldOut) -> Aimed:
        """Measure a model on rows of pairs."""
        from model.aims.pairs import pair_margins

        return pair_margins(network, held_out, lambda logp_R, length_R: self.factor * logp_R / length_R)
