"""The metrics of an evaluation, each declared once: its unit, its better direction, its interval, and the gates that may bound it.

The checks of recipes, gates, contests, headlines and the reference of keys read this table, so a metric that is added here is known to
them. The arena's tables and MLflow's names do not.
It stands apart from the code that measures, in `loss`, `questions`, `skills` and their neighbours, since checking a recipe must not load
numpy or torch. Metrics of tuning (`aim.<measure>`) take their words from the aim that measures them. Cheap to import: pydantic only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import get_args

from data.shards.names import DEPTHS
from model.evaluation.config import INTERVAL, AskedSet
from model.networks.base import Ability, NetworkBase

# What may stand for a part of a name that the recipe decides. A split's metrics also exist by source: <split>.<source>.<metric>.
PARTS = {
    "<split>": r"\w+(\..+)?",
    "<set>": "|".join(get_args(AskedSet)),
    "<skill>": "[a-z]+",
    "<measure>": "[a-z_]+",
    "<any>": ".+",
}
LIMITS = ("", "_low", "_high")  # an interval without a standard error, of what is no mean


@dataclass(frozen=True)
class Metric:
    """A metric, or a family of them that differ in a part of their names.

    `unit`: what its value counts. `lower`: smaller is better. `endings`: its value and the ends of its interval, as they are written.
    `paired`: a mean over rows or questions that are kept, so that a gate may compare two models by them. `needs`: what a network must
    support for it. `headline`: the splits or sets for which it stands in a run's headline. `contest`: challenger and champion are compared
    by it; `cost`: a quantized form and its model are. Where a network has several of those, the first decides.
    """

    name: str
    unit: str
    lower: bool = False
    endings: tuple[str, ...] = INTERVAL
    paired: bool = False
    needs: Ability | None = None
    headline: tuple[str, ...] = ()
    contest: bool = False
    cost: bool = False

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("".join(f"({PARTS[part]})" if part in PARTS else re.escape(part) for part in re.split(r"(<\w+>)", self.name)))

    def named(self, metric: str) -> bool:
        """Return whether a name such as val.bits_per_byte is this metric's."""
        return bool(self._pattern.fullmatch(metric))

    def of(self, part: str) -> str:
        """Return its name for a split, set or skill, such as val.bits_per_byte."""
        return re.sub(r"<\w+>", part, self.name)

    def written(self, part: str) -> tuple[str, ...]:
        """Return the names under which its value and interval are written for a split, set or skill."""
        return tuple(f"{self.of(part)}{ending}" for ending in self.endings)

    @property
    def family(self) -> str:
        """Its name without the part that varies: `bits_per_byte`, `questions`."""
        return re.sub(r"\.?<\w+>\.?", "", self.name)


EVALUATED = (
    Metric("<split>.loss", "nats a token", lower=True, needs="causal"),
    Metric(
        "<split>.bits_per_byte",
        "bits a byte of text",
        lower=True,
        paired=True,
        needs="causal",
        headline=("train", "val", "test"),
        contest=True,
        cost=True,
    ),
    Metric("<split>.perplexity", "tokens", lower=True, endings=LIMITS, needs="causal"),
    Metric("<split>.masked_loss", "nats a hidden token", lower=True, paired=True, needs="bidirectional", cost=True),
    Metric("<split>.masked_accuracy", "share of hidden tokens", paired=True, needs="bidirectional", headline=("test",), contest=True),
    Metric("<split>.span_loss", "nats a hidden token", lower=True, paired=True, needs="infilling", cost=True),
    Metric("<split>.span_accuracy", "share of hidden tokens", paired=True, needs="infilling", headline=("test",), contest=True),
    *(Metric(f"<split>.recall_at_{depth}", "share of passages", needs="gradients") for depth in DEPTHS),
    Metric("questions.<set>", "share of questions", paired=True, needs="generation", headline=("heldout",)),
    Metric("questions.<set>_later", "share of questions", needs="generation"),
    Metric("skills.<skill>", "share of items", paired=True, needs="generation"),
    Metric("skills.<skill>.gain", "share of items", needs="generation"),
    Metric("skills.<skill>.heldout", "share of items", needs="generation"),
    Metric("copying.share", "share of passages", lower=True, needs="generation"),
    Metric("copying.baseline", "share of passages", needs="generation"),
    Metric("thinking.<any>", "share of questions, or tokens", endings=("",), needs="generation"),
    Metric("probe.<any>", "probability", endings=("",), needs="causal"),
)
# Of a step's aim, before and after it. Recipes don't name these: a step's own gate compares them.
TUNED = (Metric("aim.<measure>_loss", "the aim's", lower=True, paired=True), Metric("aim.<measure>", "the aim's", paired=True))
METRICS = EVALUATED + TUNED
CONTEST = tuple(metric for metric in METRICS if metric.contest)
COST = tuple(metric for metric in METRICS if metric.cost)
PAIRED = tuple(metric.family for metric in EVALUATED if metric.paired)
HEADLINE = tuple(metric.of(part) for metric in METRICS for part in metric.headline)


@cache
def metric_of(name: str) -> Metric | None:
    """Return what is declared under a name such as val.bits_per_byte or, behind a model's, base.val.bits_per_byte; None if nothing is."""
    names = (name, name.partition(".")[2])
    return next((metric for one in names for metric in METRICS if metric.named(one)), None)


def per_split(network: NetworkBase) -> Iterator[Metric]:
    """Yield the metrics that such a network's evaluation has of each split that it reads."""
    for metric in METRICS:
        if metric.name.startswith("<split>.") and metric.needs in network.SUPPORTS:
            yield metric


def unmeasured(name: str, network: NetworkBase) -> str:
    """Return why such a network never has a metric, such as val.bits_per_byte; empty if it may."""
    value = re.sub(r"_(low|high|error)$", "", name)
    # What is counted beside a metric, such as questions.heldout_count, needs what its family does.
    family = next((metric for metric in METRICS if metric.name.partition(".")[0] == name.partition(".")[0]), None)
    metric = metric_of(value) or family
    if metric is None or metric.needs is None or metric.needs in network.SUPPORTS:
        return ""
    others = ", ".join(other.family for other in per_split(network) if other.paired)
    return f"that takes a network that supports {metric.needs}, and kind={network.kind} does not; a split of it has {others}"
