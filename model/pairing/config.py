"""Where the pairs of preference tuning come from. Cheap to import: pydantic only."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, Field


class ExamplePairs(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The examples' pairs, independent of the model."""

    kind: Literal["examples"] = Field("examples", description="where rejected answers come from: the examples")

    def making(self) -> OwnPairs | None:
        """Return how the model makes pairs; None, since it makes none."""
        return None


class OwnPairs(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Pairs that the model makes before the step: the rejected answer is the wrong one that it finds likeliest."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {"temperature": ("samples",), "max_new_tokens": ("samples",)}

    kind: Literal["own"] = Field("own", description="where rejected answers come from: the model's own replies and choices")
    questions: int = Field(512, ge=1, description="questions of the examples that pairs are made for, drawn by the seed; count")
    kept: float = Field(
        0.5, gt=0, le=1, description="share of the pairs that are learned from: those whose wrong answer comes closest; fraction"
    )
    samples: int = Field(2, ge=0, description="replies sampled to each question, the wrong ones of which may be rejected; 0: none; count")
    temperature: float = Field(1.0, gt=0, le=100, allow_inf_nan=False, description="divides the logits that replies are sampled from")
    max_new_tokens: int = Field(32, ge=1, description="longest sampled reply; tokens")
    seed: int = Field(0, ge=0, description="seed of the questions and of the sampled replies; integer")

    def making(self) -> OwnPairs | None:
        """Return how the model makes pairs."""
        return self


PairSource = Annotated[OwnPairs | ExamplePairs, Field(discriminator="kind")]
"""Where pairs come from, by `kind`."""
