"""`folio plan`, `folio accept`, `--refresh`: walk the pipeline without executing it, and act on its decisions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flows.cli.views.plan_table import TimeEstimate
from flows.recipe.loading import load
from flows.recipe.schema import Recipe
from flows.recipe.validation import RecipeError
from tasks.forecast.execution import History
from tasks.forecast.forecast import Forecaster, load_now
from tasks.stage.execution.accept import NotAcceptable, accept
from tasks.stage.execution.plan import Decision, position_names
from tasks.stage.execution.run import RunOptions, use_options
from tasks.stage.stage import STAGES, Stage
from tasks.stage.store.store import Store
from tasks.stage.system.nearest import did_you_mean


@dataclass(frozen=True)
class Plan:
    """Every decision in order. `stopped`: the message of the gate that would stop the flow, if any."""

    recipe: Recipe
    store: Store
    decisions: list[Decision]
    stopped: str

    def estimate(self) -> TimeEstimate:
        """Return how long the run will take, judging by earlier runs in the store and this machine's load."""
        cores, load = self.recipe.resources.cores, load_now()
        forecaster = Forecaster(History(self.store), Path(self.recipe.root).resolve(), cores, load)
        return TimeEstimate.of(forecaster.forecasts(self.decisions), cores, load)


def plan_recipe(name: str, changes: tuple[str, ...], refresh: frozenset[str], verify: bool) -> Plan:
    """Return what a run would do. Changes nothing."""
    return walk(load(name, changes), refresh, verify)


def walk(recipe: Recipe, refresh: frozenset[str] = frozenset(), verify: bool = False) -> Plan:
    """Return what a run of a recipe would do. Changes nothing."""
    from flows.pipeline import compose
    from tasks.gate import GateFailed
    from tasks.stage.execution.run_context import open_run

    stopped = ""
    with use_options(RunOptions(planning=True, refresh=refresh, verify=verify)), open_run(**recipe.run_settings()) as run:
        try:
            compose(recipe)
        except GateFailed as failed:
            stopped = str(failed)
    return Plan(recipe, run.store, run.decisions, stopped)


def precision_line(recipe: Recipe) -> str:
    """Return what each training's `auto` precision resolves to on this machine; empty if none is `auto`."""
    steps = {
        **({"pretrain": recipe.pretrain} if recipe.pretrains else {}),
        **{f"tune.{step.name}": step for step in recipe.tuning},
        **{f"adapt.{step.name}": step for step in recipe.adapters},
    }
    found = {name: (step.precision.kind, step.resolved().precision.kind) for name, step in steps.items()}
    told = [f"{name}: precision={asked} is {comes_to} on this machine" for name, (asked, comes_to) in found.items() if asked != comes_to]
    return "\n".join(["", *told]) if told else ""


def accept_changes(position: str, name: str, changes: tuple[str, ...], reason: str) -> str:
    """Record that what changed at a position does not alter its output, and return what was accepted.

    Raises RecipeError for an unknown stage, and NotAcceptable if nothing there may be accepted.
    """
    check_stage_name(position, "accept")
    plan = plan_recipe(name, changes, frozenset(), False)
    due = [d for d in plan.decisions if position in position_names(d.position) and d.action != "reuse"]
    if not due:
        raise NotAcceptable(f"{position}: there is nothing to accept; {plan.recipe.name} would reuse all it has there.")
    accepted = [accept(plan.store, plan.recipe.name, decision, reason) for decision in due]
    return "\n".join(f"{one.position}: {'; '.join(one.causes)}\n  accepted by {one.who}: {one.reason}" for one in accepted)


def stages() -> dict[str, Stage]:
    """Return the stages of the pipeline by name."""
    import flows.pipeline  # noqa: F401  # it imports every stage

    return STAGES


def check_stage_name(name: str, option: str) -> None:
    """Raise RecipeError, naming the option, if a name is neither a stage nor a position such as evaluate.base or clean[3]."""
    known = stages()
    if position_names(name)[-1] not in known:
        hint = did_you_mean(name, list(known)) or f"; the stages are {', '.join(known)}."
        raise RecipeError(f"{option} {name!r}: there is no stage of that name{hint}")


def stages_to_refresh(names: list[str] | None, recipe: str, changes: tuple[str, ...]) -> frozenset[str]:
    """Return what `--refresh` names: stages, or positions such as evaluate.base or clean[3].

    Raises RecipeError for any other name, and for a position that the recipe does not have.
    """
    for name in names or ():
        check_stage_name(name, "--refresh")
    if names:
        plan = plan_recipe(recipe, changes, frozenset(), False)
        known = {name: None for decision in plan.decisions for name in position_names(decision.position)}
        # If a gate stops the plan, positions after it are unknown to the plan.
        if not plan.stopped and (unknown := [name for name in names if name not in known]):
            hint = did_you_mean(unknown[0], known) or f"; it has {', '.join(known)}."
            raise RecipeError(f"--refresh {unknown[0]!r}: {plan.recipe.name} has no such position{hint}")
    return frozenset(names or ())
