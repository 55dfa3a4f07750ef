"""`folio plan`, and what is decided on a plan: the pipeline walked without executing anything."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from flows.recipe.loading import RecipeError, load
from flows.recipe.schema import Recipe
from tasks.stage.execution.accept import NotAcceptable, accept
from tasks.stage.execution.plan import Decision, position_names
from tasks.stage.execution.run import RunOptions, use_options
from tasks.stage.stage import Stage
from tasks.stage.store.store import Store


@dataclass(frozen=True)
class Plan:
    """Every decision in order, and the message of the gate that would stop the flow, if one would."""

    recipe: Recipe
    store: Store
    decisions: list[Decision]
    stopped: str


def plan_recipe(name: str, changes: tuple[str, ...], refresh: frozenset[str], verify: bool) -> Plan:
    """What a run would do; nothing is changed."""
    from flows.pipeline import compose
    from tasks.gate import GateFailed
    from tasks.stage.execution.run_context import open_run

    recipe, stopped = load(name, changes), ""
    with use_options(RunOptions(planning=True, refresh=refresh, verify=verify)), open_run(**recipe.run_settings()) as run:
        try:
            compose(recipe)
        except GateFailed as failed:
            stopped = str(failed)
    return Plan(recipe, run.store, run.decisions, stopped)


def accept_changes(place: str, name: str, changes: tuple[str, ...], reason: str) -> str:
    """Record that what changed at a place does not alter its output; says what now stands in for what.

    Raises RecipeError for an unknown stage and NotAcceptable when nothing there may be accepted."""
    named(place, "accept")
    plan = plan_recipe(name, changes, frozenset(), False)
    due = [d for d in plan.decisions if place in position_names(d.position) and d.action != "reuse"]
    if not due:
        raise NotAcceptable(f"{place}: there is nothing to accept, since nothing that {plan.recipe.name} has there would run.")
    kept = [accept(plan.store, plan.recipe.name, decision, reason) for decision in due]
    return "\n".join(f"{k.position}: {'; '.join(k.causes)}\n  accepted by {k.who}: {k.reason}" for k in kept)


def stages() -> dict[str, Stage]:
    """The stages of the pipeline by name."""
    from flows import base, chat, corpus, release

    found = (value for module in (corpus, base, chat, release) for value in vars(module).values())
    return {value.name: value for value in found if isinstance(value, Stage)}


def named(place: str, asked: str) -> None:
    """Raises RecipeError when a name is no stage and no place of one, such as evaluate.base or clean[3]."""
    known = stages()
    if position_names(place)[-1] not in known:
        near = difflib.get_close_matches(place, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"the stages are {', '.join(known)}."
        raise RecipeError(f"{asked} {place!r}: there is no stage of that name; {hint}")


def refreshing(asked: list[str] | None, recipe: str, changes: tuple[str, ...]) -> frozenset[str]:
    """What `--refresh` names: stages, or places of a stage such as evaluate.base or clean[3].

    Raises RecipeError for any other name, and for a place that the recipe hasn't, which nothing would happen to."""
    for name in asked or ():
        named(name, "--refresh")
    if asked:
        plan = plan_recipe(recipe, changes, frozenset(), False)
        known = {name: None for decision in plan.decisions for name in position_names(decision.position)}
        # Behind a gate that stops the plan there may be places that it does not come to.
        if not plan.stopped and (strange := [name for name in asked if name not in known]):
            raise RecipeError(f"--refresh {strange[0]!r}: {plan.recipe.name} has no such place; it has {', '.join(known)}.")
    return frozenset(asked or ())
