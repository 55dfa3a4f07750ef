"""Bounds of gates on what nothing measures, each with the nearest name or what would have to be set.

A gate fails closed, so such a bound would end a run after all the work that it judges.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flows.recipe.measured import metrics_of, switches_of
from model.evaluation.config import unmeasured
from tasks.stage.system.nearest import did_you_mean

if TYPE_CHECKING:
    from flows.recipe.schema import Recipe
    from model.evaluation.gate import Bound

CHAPTERS = ("corpus", "base", "chat", "release")


def gate_problems(recipe: Recipe) -> Iterator[str]:
    """Yield one sentence for each name in a bound that the gate can't judge."""
    for chapter in CHAPTERS:
        known = metrics_of(recipe, chapter)
        positions = list(dict.fromkeys(name.partition(".")[0] for name in known))
        for number, bound in enumerate(getattr(recipe.gates, chapter).bounds):
            where = f"gates.{chapter}.bounds[{number}]"
            for metric in filter(None, (bound.metric, bound.relative_to)):
                if metric not in known:
                    yield f"{where} names {metric!r}, {_why(recipe, chapter, metric, known, positions)}"
            yield from _without_interval(where, bound, known)


def _why(recipe: Recipe, chapter: str, metric: str, known: list[str], positions: list[str]) -> str:
    position, _, measured = metric.partition(".")
    if position not in positions:
        if chapter == "release":
            names = ", ".join(positions[1:]) or "none"
            return f"but what is measured there is release and release.variants ({names}); change the bound, or add the variant"
        return f"but what is measured there is {' and '.join(positions)}; begin the name with one of those and a dot"
    if chapter != "corpus" and position != "pack":
        if why := unmeasured(measured, recipe.model):
            return f"but {why}"
        if switch := switches_of(measured, getattr(recipe.evaluate, chapter), f"evaluate.{chapter}."):
            return f"which takes {switch}; set that, or drop the bound{did_you_mean(metric, known)}"
    return f"which nothing measures{did_you_mean(metric, known) or f'; {position} has {_some(position, known)}'}"


def _without_interval(where: str, bound: Bound, known: list[str]) -> Iterator[str]:
    if bound.certain and bound.metric in known and not {f"{bound.metric}_low", f"{bound.metric}_high"} <= set(known):
        yield f"{where} has certain=true, but {bound.metric} has no interval; leave out certain, or name a metric that has one"


def _some(position: str, known: list[str]) -> str:
    names = [name for name in known if name.startswith(f"{position}.") and not name.endswith(("_error", "_low", "_high"))]
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
