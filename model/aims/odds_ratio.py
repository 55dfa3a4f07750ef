"""What odds ratio preference optimization is for: the log odds ratio of held-out pairs.

log odds(chosen) - log odds(rejected),   odds(y) = P / (1 - P), P the geometric mean of the probabilities of y's tokens
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from model.aims.protocol import AimBase, Aimed, HeldOut

if TYPE_CHECKING:
    from model.networks.network import Network


class OddsRatioAim(AimBase):
    """At how much better odds the chosen answer of a pair is."""

    MEASURE: ClassVar[str] = "margin"
    TITLE: ClassVar[str] = "log odds ratio of held-out pairs"
    UNIT: ClassVar[str] = "nats"
    COUNTED: ClassVar[str] = "pairs"

    kind: Literal["odds_ratio"] = Field("odds_ratio", description="aim: the chosen answer at better odds than the rejected one")

    def measure(self, network: Network, held_out: HeldOut) -> Aimed:
        """Measure a model on rows of pairs."""
        from model.aims.pairs import pair_margins
        from model.objectives.orpo import log_odds

        return pair_margins(network, held_out, lambda logp_R, length_R: log_odds(logp_R / length_R))
