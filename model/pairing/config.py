"""Settings of the pairs of preference tuning. Cheap to import: pydantic only."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, Field

from data.shards.address import Address
from model.inference.config import PositiveTemperature, Temperature


class ExamplePairs(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The examples' pairs, independent of the model."""

    kind: Literal["examples"] = Field("examples", description="where rejected answers come from: the examples")

    def making(self) -> Pairing | None:
        """Return how pairs are made before the step; None, since none are."""
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
    temperature: PositiveTemperature = Field(1.0, description="divides the logits that replies are sampled from")
    max_new_tokens: int = Field(32, ge=1, description="longest sampled reply; tokens")
    seed: int = Field(0, ge=0, description="seed of the questions and of the sampled replies; integer")

    def making(self) -> Pairing | None:
        """Return how pairs are made before the step."""
        return self


class Principle(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A rule for answers, as the two requests by which an answer is made to keep it."""

    critique: str = Field(min_length=1, description="asks how an answer breaks the rule, such as 'How is this answer rude?'")
    revision: str = Field(min_length=1, description="asks for a better answer then, such as 'Write it again, politely.'")


class OwnCritic(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The model that is tuned criticizes and revises its own answers."""

    kind: Literal["own"] = Field("own", description="who criticizes and revises: the model itself, before the step")
    temperature: Temperature = Field(0.0, ge=0, le=100, description="divides its logits; 0 takes the likeliest token (greedy)")


class EndpointCritic(Address):
    """Another model behind an address that speaks as OpenAI's does: the questions and the model's answers are sent there."""


Critic = Annotated[OwnCritic | EndpointCritic, Field(discriminator="kind")]
"""The critic, by `kind`."""


class ConstitutionPairs(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Pairs that follow principles: the model answers, and its answer, criticized and revised by a principle, is preferred to the first."""

    kind: Literal["constitution"] = Field("constitution", description="where pairs come from: answers revised by principles")
    principles: tuple[Principle, ...] = Field(min_length=1, description="the rules; each round takes one, drawn by the seed")
    critic: Critic = Field(OwnCritic(kind="own"), description="who criticizes and revises; kind and its settings")
    questions: int = Field(
        256, ge=1, description="conversations of the examples whose first answer is asked for anew, drawn by the seed; count"
    )
    rounds: int = Field(1, ge=1, le=8, description="times that an answer is criticized and revised; count")
    temperature: Temperature = Field(1.0, ge=0, le=100, description="divides the logits that the first answers are sampled from")
    max_new_tokens: int = Field(64, ge=1, description="longest answer, critique and revision; tokens")
    seed: int = Field(0, ge=0, description="seed of the conversations, the principles and all that is sampled; integer")

    def making(self) -> Pairing | None:
        """Return how pairs are made before the step."""
        return self


Pairing = OwnPairs | ConstitutionPairs
"""The making of pairs before a step."""

PairSource = Annotated[OwnPairs | ExamplePairs | ConstitutionPairs, Field(discriminator="kind")]
"""The source of pairs, by `kind`."""
