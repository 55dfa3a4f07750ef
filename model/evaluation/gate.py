"""Gates: compare measured metrics with required bounds. Fails closed. Pure arithmetic, no torch.

A bound passes only if its metric was measured, is finite, and is on the right side of its limits. A metric that is missing, NaN or
infinite fails; so does a ratio to a metric that is missing or not above 0, and `certain` without an interval. A comparison with a
baseline, chance or another model holds only if its whole interval does: what is not significant fails. A gate without bounds, and a bound
without a limit, are refused."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from pydantic import BaseModel, Field, JsonValue, model_validator

from model.evaluation.metrics import PAIRED
from model.evaluation.relations import ASKED_AGAIN, Limit, Relation, Unpaired, beside, can_be_paired, gain

if TYPE_CHECKING:
    from model.evaluation.intervals import Units

# Of a small model's lead over counted n-grams, 1.57 times their bits in `universe`, this leaves more than half. What tuning can't do
# without costs far less: `universe`, `classics` and `reasoner` hold theirs to 0.05 bits, a sixth of the bits of the first.
MOST_TIMES_THE_BITS = 1.25
NOT_IDENTITY: dict[str, JsonValue] = {"identity": False}
"""Marks a field that changes no byte of a verdict."""


class Bound(Relation, frozen=True, extra="forbid"):
    """The limits of one metric, or what it is compared with."""

    metric: str = Field(min_length=1, description="metric that is judged; name")
    minimum: Limit | None = Field(None, description="smallest value that passes; the metric's unit, or a ratio")
    maximum: Limit | None = Field(None, description="largest value that passes; the metric's unit, or a ratio")
    relative_to: str | None = Field(
        None, min_length=1, description="judge metric / this metric instead, as a ratio; name of another metric"
    )
    certain: bool = Field(False, description="judge the unfavourable end of the metric's interval instead of its value; yes or no")

    @model_validator(mode="after")
    def _limits_something(self) -> Bound:
        if self.related:
            return self._compares_alone()
        if self.minimum is None and self.maximum is None:
            raise ValueError(
                f"the bound on {self.metric} has neither minimum nor maximum, and no beats, above or no_worse_than, so it would pass "
                "anything; give one"
            )
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"the bound on {self.metric} has minimum {self.minimum} above maximum {self.maximum}; swap them")
        if self.certain and self.relative_to is not None:
            raise ValueError(f"the bound on {self.metric} is a ratio, which has no interval; leave out certain")
        return self

    def _compares_alone(self) -> Bound:
        if self.minimum is not None or self.maximum is not None or self.relative_to is not None or self.certain:
            raise ValueError(
                f"the bound on {self.metric} compares it ({self.phrase}), which is judged by an interval of its own; give minimum, "
                "maximum, relative_to and certain in another bound"
            )
        if not can_be_paired(self.metric):
            raise ValueError(
                f"the bound on {self.metric} compares it ({self.phrase}), and only {', '.join(PAIRED)} are kept row by row or question by "
                "question; name one of these, or give limits"
            )
        if self.above and not self.metric.partition(".")[2].startswith("questions."):
            raise ValueError(
                f"the bound on {self.metric} has above={self.above}, and {self.above} is known of questions alone; compare it by beats"
            )
        if self.above in ASKED_AGAIN and not self.metric.endswith(".questions.heldout"):
            raise ValueError(f"the bound on {self.metric} has above={self.above}, and questions.heldout alone are asked so again")
        return self

    def __str__(self) -> str:
        if self.related:
            return self.phrase
        sides = [f">= {self.minimum:g}" if self.minimum is not None else ""]
        sides += [f"<= {self.maximum:g}" if self.maximum is not None else ""]
        relation = f" x {self.relative_to}" if self.relative_to else ""
        return " and ".join(side + relation for side in sides if side) + (" (certain)" if self.certain else "")


class GateConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The bounds of one gate; all must hold."""

    bounds: tuple[Bound, ...] = Field(min_length=1, description="bounds that must hold; list")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="probability that the interval of a comparison is meant to cover; fraction")
    overrule: str | None = Field(
        None, min_length=8, description="continue although the gate fails, for this reason, which is recorded; text"
    )
    approve: bool = Field(
        False,
        json_schema_extra=NOT_IDENTITY,
        description="let a person approve a verdict that passed before anything after the gate runs; asked once for the same verdict, with "
        "a name and a reason, which are recorded; yes or no",
    )

    @model_validator(mode="after")
    def _confidence_is_asked_for(self) -> GateConfig:
        default = type(self).model_fields["confidence"].default
        if self.confidence != default and not any(bound.related for bound in self.bounds):
            raise ValueError(
                f"confidence={self.confidence} does nothing: no bound has beats, above or no_worse_than; give it its default, {default}"
            )
        return self


@dataclass(frozen=True)
class Verdict:
    """The outcome of one bound. `margin`: distance to the nearest limit, negative outside it; None if it could not be judged.

    `other`: the value that it was compared with. `beside`: what guessing and a model that sees no picture get.
    """

    metric: str
    value: float | None
    bound: Bound
    margin: float | None
    passed: bool
    reason: str
    other: float | None = None
    beside: str = ""

    @property
    def asked(self) -> str:
        """The bound, with the value that it compares with where there is one, and what is shown beside it."""
        said = str(self.bound) if self.other is None else f"{self.bound}: {self.other:.4g}"
        return f"{said} ({self.beside})" if self.beside else said


def judge(
    metrics: Mapping[str, float],
    bounds: Sequence[Bound],
    intervals: Mapping[str, tuple[float, float]] | None = None,
    *,
    units: Mapping[str, Units] | None = None,
    confidence: float = 0.95,
) -> list[Verdict]:
    """Return a verdict for each bound, in order. `intervals`: (low, high) by metric; by default `<metric>_low` and `<metric>_high`.
    `units`: the rows or questions that a metric is the mean of, which comparisons need; `confidence`: of their intervals.

    Raise ValueError without bounds: a gate that asks for nothing must not count as passed.
    """
    if not bounds:
        raise ValueError("a gate without bounds judges nothing; give it bounds, or leave the gate out of the recipe")
    given = _Given(metrics, {**intervals_of(metrics), **(intervals or {})}, units or {}, confidence)
    verdicts = [_compare(given, bound) if bound.related else _judge(metrics, bound, given.intervals) for bound in bounds]
    return [replace(verdict, beside=beside(metrics, verdict.metric)) for verdict in verdicts]


def passed(verdicts: Sequence[Verdict]) -> bool:
    """Return whether all bounds hold; False if there are none."""
    return bool(verdicts) and all(verdict.passed for verdict in verdicts)


def intervals_of(metrics: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Return the intervals that evaluation writes with its metrics, as `<metric>_low` and `<metric>_high`."""
    return {
        name: (metrics[f"{name}_low"], metrics[f"{name}_high"])
        for name in metrics
        if f"{name}_low" in metrics and f"{name}_high" in metrics
    }


class _Given(NamedTuple):
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    units: Mapping[str, Units]
    confidence: float


def _compare(given: _Given, bound: Bound) -> Verdict:
    """Judge by the interval of the difference over the rows or questions that both have."""
    from model.evaluation.intervals import paired_difference

    theirs = bound.other(bound.metric)
    for metric in (bound.metric, theirs):
        value = given.metrics.get(metric)
        if value is None or not math.isfinite(value) or metric not in given.units:
            why = "was not measured" if value is None else f"is {value}" if not math.isfinite(value) else "has no rows to be compared by"
            reason = why if metric == bound.metric else f"{metric} {why}"
            return Verdict(bound.metric, given.metrics.get(bound.metric), bound, None, False, reason)
    value, other = given.metrics[bound.metric], given.metrics[theirs]
    try:
        pair = paired_difference(given.units[bound.metric], given.units[theirs], confidence=given.confidence)
    except Unpaired as error:
        return Verdict(bound.metric, value, bound, None, False, str(error), other)
    worst, best = sorted((gain(bound.metric, pair.low), gain(bound.metric, pair.high)))
    margin = worst + bound.by
    holds = margin >= 0 if bound.no_worse_than else margin > 0
    reason = "holds" if holds else _shortfall(bound, gain(bound.metric, pair.value), worst, best)
    return Verdict(bound.metric, value, bound, margin, holds, reason, other)


def _shortfall(bound: Bound, gained: float, worst: float, best: float) -> str:
    """Say how a comparison failed, by the gain and the ends of its interval."""
    allowed = f", and {bound.by:.4g} is allowed" if bound.no_worse_than and bound.by else ""
    if best < 0:
        return f"is worse by {-gained:.4g} ({-best:.4g} to {-worst:.4g}){allowed}"
    if bound.no_worse_than:
        more = "" if gained < -bound.by else "; more rows or questions would tell"
        return f"may be worse by {-worst:.4g}{allowed}: changed by {gained:+.4g} ({worst:+.4g} to {best:+.4g}){more}"
    return f"is not certainly better: by {gained:+.4g} ({worst:+.4g} to {best:+.4g})"


def _judge(metrics: Mapping[str, float], bound: Bound, intervals: Mapping[str, tuple[float, float]]) -> Verdict:
    def failed(value: float | None, reason: str) -> Verdict:
        return Verdict(bound.metric, value, bound, None, False, reason)

    value = metrics.get(bound.metric)
    if value is None:
        return failed(None, "was not measured")
    if not math.isfinite(value):
        return failed(value, f"is {value}")
    low = high = value
    if bound.relative_to is not None:
        other = metrics.get(bound.relative_to)
        if other is None:
            return failed(value, f"{bound.relative_to} was not measured")
        if not math.isfinite(other) or other <= 0:
            return failed(value, f"{bound.relative_to} is {other}: no ratio to it")
        value = low = high = value / other
    elif bound.certain:
        if bound.metric not in intervals:
            return failed(value, "no interval was measured")
        low, high = intervals[bound.metric]
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            return failed(value, f"has the interval {low} to {high}")
    margins = [low - bound.minimum] if bound.minimum is not None else []
    margins += [bound.maximum - high] if bound.maximum is not None else []
    margin = min(margins)
    return Verdict(bound.metric, value, bound, margin, margin >= 0, "holds" if margin >= 0 else "is out of bounds")


HEADER = ("metric", "value", "bound", "margin", "verdict")


def rows(verdicts: Sequence[Verdict]) -> list[tuple[str, str, str, str, str]]:
    """Return the cells, one row for each verdict; the value of a ratio is the ratio."""
    return [
        (
            verdict.metric,
            "-" if verdict.value is None else f"{verdict.value:.4g}",
            verdict.asked,
            "-" if verdict.margin is None else f"{verdict.margin:+.4g}",
            "passed" if verdict.passed else f"FAILED: {verdict.reason}",
        )
        for verdict in verdicts
    ]


def as_text(verdicts: Sequence[Verdict]) -> str:
    """Return aligned columns with a rule below the header, without a final newline."""
    table = [HEADER, *rows(verdicts)]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADER))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def as_markdown(verdicts: Sequence[Verdict]) -> str:
    """Return a Markdown table; bars in cells are escaped."""
    table = [HEADER, ("---",) * len(HEADER), *rows(verdicts)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table)


FIDELITY = "fidelity."  # before the names of inputs that say what was measured of a form; a form's name has no dot
FILE, VERDICT = "metrics.json", "verdict.json"


class FidelitySettings(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Settings of comparing a quantized form with the model."""

    rows: int = Field(64, ge=1, description="rows that both read, drawn by the seed from the last split of evaluate.release; rows")
    resamples: int = Field(1000, ge=100, le=100_000, description="bootstrap resamples behind each interval; count")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="probability that an interval is meant to cover; fraction")
    seed: int = Field(0, ge=0, description="seed of the rows and resamples; integer")
    speed_tokens: int = Field(64, ge=0, description="tokens that are written to measure its speed; 0: not measured; tokens")


class FidelityConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Settings and gate of comparing one form."""

    settings: FidelitySettings = FidelitySettings()
    bounds: tuple[Bound, ...] = Field(description="what must hold of this form; list of bounds")
    overrule: str | None = Field(None, description="release it although a bound fails, for this reason; text")
