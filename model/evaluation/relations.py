"""Bounds that compare a metric with a baseline, chance or another model, over pairs of rows or questions.

    {metric: base.val.bits_per_byte, beats: baseline.ngram}          significantly better than the n-gram model on the same rows
    {metric: chat.questions.heldout, above: chance}                  significantly more right than guessing
    {metric: chat.questions.heldout, above: blind}                   significantly more right than without the picture
    {metric: chat.questions.heldout, above: shuffled}                significantly more right than with its frames shuffled
    {metric: chat.val.bits_per_byte, no_worse_than: base, by: 0.05}  certainly at most 0.05 bits worse than the base model

Only means over rows or questions can be paired: bits per byte, masked loss and accuracy, questions, skills, and what a step of tuning is
for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from model.evaluation.metrics import metric_of

Limit = Annotated[float, Field(allow_inf_nan=False)]

ASKED_AGAIN = ("blind", "shuffled")  # sets of the held-out questions, line by line, with less to see
RELATIONS = ("beats", "above", "no_worse_than")
UNITS = "units.npz"
"""The file beside metrics.json that holds the rows or questions to be paired."""


class Unpaired(ValueError):
    """Two metrics have too few units in common to be compared."""


class Relation(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A comparison of one metric with another; at most one of the three."""

    beats: str | None = Field(
        None, min_length=1, description="baseline or model that must be beaten, certainly, such as baseline.ngram; name"
    )
    above: Literal["chance", "blind", "shuffled"] | None = Field(
        None,
        description="must be certainly above guessing, or above the same model without the picture or with its frames shuffled; of "
        "questions alone, and of heldout ones but for chance; name",
    )
    no_worse_than: str | None = Field(
        None, min_length=1, description="model or baseline than which the metric must certainly not be worse by more than `by`; name"
    )
    by: Limit = Field(0.0, ge=0, description="how much worse than no_worse_than is let through; the metric's unit")

    @model_validator(mode="before")
    @classmethod
    def _one_relation(cls, given: Any) -> Any:
        if isinstance(given, Mapping):
            metric = given.get("metric")
            named = [name for name in RELATIONS if given.get(name) is not None]
            if len(named) > 1:
                raise ValueError(f"the bound on {metric} has {' and '.join(named)}; give each a bound of its own")
            if given.get("by") and "no_worse_than" not in named:
                raise ValueError(f"the bound on {metric} has by={given['by']}, which does nothing without no_worse_than; leave it out")
        return given

    def other(self, metric: str) -> str:
        """Return the metric that `metric` is compared with, such as baseline.ngram.val.bits_per_byte; empty if with none."""
        model, _, measured = metric.partition(".")
        if self.above in ASKED_AGAIN:
            return f"{model}.questions.{self.above}"
        than = "baseline.chance" if self.above else self.beats or self.no_worse_than
        return f"{than}.{measured}" if than else ""

    @property
    def related(self) -> bool:
        """Whether there is anything to compare with."""
        return any(getattr(self, name) is not None for name in RELATIONS)

    @property
    def phrase(self) -> str:
        """The comparison in words, such as `beats baseline.ngram`."""
        if self.above:
            return f"above {self.above}"
        if self.beats:
            return f"beats {self.beats}"
        return f"no worse than {self.no_worse_than}" + (f" by {self.by:g}" if self.by else "")


def beside(metrics: Mapping[str, float], metric: str) -> str:
    """Return what guessing, and the same model without the picture, get of the held-out questions, such as `chance 0.2, blind 0.21`.

    Return nothing where no questions were asked without pictures."""
    model, _, measured = metric.partition(".")
    if measured != "questions.heldout" or f"{model}.questions.blind" not in metrics:
        return ""
    found = {"chance": metrics.get(f"baseline.chance.{measured}")} | {
        name: metrics.get(f"{model}.questions.{name}") for name in ASKED_AGAIN
    }
    return ", ".join(f"{name} {value:.4g}" for name, value in found.items() if value is not None)


def can_be_paired(metric: str) -> bool:
    """Return whether a metric such as base.val.bits_per_byte is a mean over rows or questions."""
    found = metric_of(metric.partition(".")[2])
    return found is not None and found.paired


def gain(metric: str, difference: float) -> float:
    """Return how much better a metric is that is larger by `difference`; negative where it is worse."""
    if not math.isfinite(difference):
        return math.nan
    found = metric_of(metric)
    return -difference if found is not None and found.lower else difference
