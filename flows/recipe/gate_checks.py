"""Bounds of gates on what nothing measures, each with the nearest name or what would have to be set.

A gate fails closed, so such a bound would end a run after all the work that it judges.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flows.recipe.measured import COUNTED, SPLITS, evaluated_at, evaluations, metrics_of, switches_of
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
            for metric in filter(None, (bound.metric, bound.relative_to, bound.other(bound.metric))):
                if metric not in known:
                    yield f"{where} names {metric!r}, {_why(recipe, chapter, metric, known, positions)}"
            yield from _without_interval(where, bound, known)
            yield from _compared(recipe, where, bound)


def _why(recipe: Recipe, chapter: str, metric: str, known: list[str], positions: list[str]) -> str:
    position, _, measured = metric.partition(".")
    if position not in positions:
        if chapter == "release":
            names = ", ".join(variant.name for variant in recipe.release.variants) or "none"
            return f"but what is measured there is release and release.variants ({names}); change the bound, or add the variant"
        names = f"{', '.join(positions[:-1])} and {positions[-1]}" if len(positions) > 1 else positions[0]
        return f"but what is measured there is {names}; begin the name with one of those and a dot"
    if position == "baseline" and (split := next((part for part in measured.split(".") if part in SPLITS), "")) not in (
        "",
        *recipe.baseline.splits,
    ):
        return f"which takes baseline.splits with {split}; set that, or drop the bound"
    if chapter != "corpus" and position in evaluations(recipe, chapter):
        evaluated, network = evaluated_at(recipe, position)
        if why := unmeasured(measured, network):
            return f"but {why}"
        section = position if position in ("base", "chat") else "base" if position == "opened" else "release"
        if switch := switches_of(measured, evaluated, f"evaluate.{section}."):
            return f"which takes {switch}; set that, or drop the bound{did_you_mean(metric, known)}"
    return f"which nothing measures{did_you_mean(metric, known) or f'; {position} has {_some(position, known)}'}"


def _without_interval(where: str, bound: Bound, known: list[str]) -> Iterator[str]:
    if bound.certain and bound.metric in known and not {f"{bound.metric}_low", f"{bound.metric}_high"} <= set(known):
        yield f"{where} has certain=true, but {bound.metric} has no interval; leave out certain, or name a metric that has one"


def _compared(recipe: Recipe, where: str, bound: Bound) -> Iterator[str]:
    """Bounds that can't be compared row by row, and baselines trained on the text they predict."""
    position, _, name = bound.other(bound.metric).partition(".")
    if position != "baseline" or bound.above:
        return
    if name.partition(".")[0] not in COUNTED:
        yield f"{where} compares {bound.metric} row by row, and of the baselines {' and '.join(COUNTED)} are kept so; name one of these"
    elif recipe.split.mode == "all_train":
        yield (
            f"{where} compares {bound.metric} with a baseline, and split.mode=all_train lets that count the text that it then predicts; "
            "hold text out, or give the bound a minimum or maximum"
        )


def _some(position: str, known: list[str]) -> str:
    names = [name for name in known if name.startswith(f"{position}.") and not name.endswith(("_error", "_low", "_high"))]
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
