"""The interface between examining a step of tuning and an aim: what a kind of step wants to improve. Cheap to import: pydantic only.

An aim is measured on what the step did not learn from, as a mean over units (rows, pairs, answers or prompts), so that the model after the
step is compared with the one before unit by unit.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from pydantic import BaseModel

if TYPE_CHECKING:
    from model.evaluation.units import Units
    from model.networks.network import Network

PREFIX = "aim."  # of an aim's measure among other metrics


class HeldOut(NamedTuple):
    """What a model is measured on.

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
    """What a kind of tuning wants to improve. A kind is one file: this with `kind` and its own settings, and how it is measured.

    `MEASURE`: its name among metrics; one that ends in `_loss` is better lower, as everywhere. `TITLE`: what people call it. `UNIT`: what
    it is counted in. `COUNTED`: what it is a mean over.
    """

    MEASURE: ClassVar[str]
    TITLE: ClassVar[str]
    UNIT: ClassVar[str]
    COUNTED: ClassVar[str]
    LOWER_IS_BETTER: ClassVar[bool] = False

    kind: str

    @property
    def metric(self) -> str:
        """Its name among all that is measured, such as aim.margin."""
        return f"{PREFIX}{self.MEASURE}"

    def open(self, directory: Path) -> Network:
        """Return the model of a directory, as it is measured: in evaluation mode."""
        from model.inference.open_model import open_model

        return open_model(directory)

    def measure(self, network: Network, held_out: HeldOut) -> Aimed:
        """Measure a model. Raise ValueError where nothing is held out."""
        raise NotImplementedError
