"""The interface between examining a step of tuning and an aim: what a kind of step wants to improve. Cheap to import: pydantic only.

An aim is measured on what the step did not learn from, as a mean over units (rows, pairs, answers or prompts), so that the model after the
step is compared with the one before unit by unit."""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from pydantic import BaseModel, Field

from model.evaluation.gate import Bound, GateConfig
from model.evaluation.relations import Limit

if TYPE_CHECKING:
    from model.evaluation.intervals import Units
    from model.networks.network import Network

PREFIX = "aim."  # of an aim's measure among other metrics


class HeldOut(NamedTuple):
    """The measures by which a model is judged before and after a step.

    `rows`: packed rows that the step did not learn from, of the kind that it reads; `examples`: the folder of the questions; `judge`: the
    reward model that scores replies; `most`: how many rows, pairs, answers or prompts are measured; `seed`: decides which, and samples.
    """

    rows: Path | None
    examples: Path
    tokenizer: Path
    judge: Path | None
    most: int
    seed: int


class Aimed(NamedTuple):
    """The units of an aim's measure, and figures that are told besides, by name."""

    units: Units
    besides: dict[str, float]


class AimBase(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The aim of a kind of tuning. A kind is this with `kind`, its own settings, and how it is measured.

    `MEASURED_BY`: the function (aim, network, held out) -> Aimed that measures it; `OPENED_BY`: the one (model directory) -> network that
    opens a model for it; both as `module:name`. `MEASURE`: its name among metrics; one that ends in `_loss` is better lower, as everywhere.
    `TITLE`: what people call it. `UNIT`: what it is counted in. `COUNTED`: what it is a mean over.
    """

    MEASURED_BY: ClassVar[str]
    OPENED_BY: ClassVar[str] = "model.inference.open_model:open_model"
    MEASURE: ClassVar[str]
    TITLE: ClassVar[str]
    UNIT: ClassVar[str]
    COUNTED: ClassVar[str]

    kind: str

    @property
    def metric(self) -> str:
        """Its name among all that is measured, such as aim.margin."""
        return f"{PREFIX}{self.MEASURE}"

    def open(self, directory: Path) -> Network:
        """Return the model of a directory, as it is measured: in evaluation mode."""
        network: Network = resolve_name(self.OPENED_BY)(directory)
        return network

    def measure(self, network: Network, held_out: HeldOut) -> Aimed:
        """Measure a model. Raise ValueError where nothing is held out."""
        aimed: Aimed = resolve_name(self.MEASURED_BY)(self, network, held_out)
        return aimed


BEFORE, AFTER = "before", "after"
SPLIT = "val"  # text that the model did not learn from; nothing is chosen by the test split
QUESTIONS = ("seen", "heldout")


class StepGate(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The default gate of a step: it certainly improves its own aim, and certainly costs little elsewhere."""

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
