"""The gate of a step of tuning, as a recipe asks for it, and the bounds that it comes to. Cheap to import: pydantic only."""

from __future__ import annotations

from pydantic import BaseModel, Field

from model.aims.protocol import AimBase
from model.evaluation.gate import Bound, GateConfig
from model.evaluation.relations import Limit

BEFORE, AFTER = "before", "after"
SPLIT = "val"  # text that the model did not learn from; nothing is chosen by the test split
QUESTIONS = ("seen", "heldout")


class StepGate(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """What must hold of a step: it certainly improves its own aim, and certainly costs little elsewhere."""

    rows: int = Field(256, ge=6, description="rows, pairs, answers or prompts that its measure is taken on, before and after it; count")
    most_bits_per_byte: Limit | None = Field(
        0.1, ge=0, description="bits for each byte of held-out text that it may certainly cost at most; null: not judged"
    )
    most_right_lost: Limit | None = Field(
        0.1, ge=0, le=1, description="share of seen and of held-out questions that it may certainly cost at most; null: not judged"
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="probability that each interval is meant to cover; fraction")
    overrule: str | None = Field(
        None, min_length=8, description="continue although the gate fails, for this reason, which is recorded; text"
    )

    def judging(self, aim: AimBase, *, makes_policy: bool) -> GateConfig:
        """Return the bounds on what was measured before and after a step with this aim.

        `makes_policy`: the steps after it go on from its model; if not, that model writes nothing, so it costs nothing.
        """
        bounds = [Bound(metric=f"{AFTER}.{aim.metric}", beats=BEFORE)]
        if makes_policy and self.most_bits_per_byte is not None:
            bounds.append(Bound(metric=f"{AFTER}.{SPLIT}.bits_per_byte", no_worse_than=BEFORE, by=self.most_bits_per_byte))
        if makes_policy and self.most_right_lost is not None:
            asked = (f"{AFTER}.questions.{name}" for name in QUESTIONS)
            bounds += [Bound(metric=metric, no_worse_than=BEFORE, by=self.most_right_lost) for metric in asked]
        return GateConfig(bounds=tuple(bounds), confidence=self.confidence, overrule=self.overrule)
