"""`folio run`, `plan`, `refresh`, `approve`, `accept`: make what a recipe describes, or say what that would take.

What loads Prefect is imported inside the commands, so that help, a shell's completion and a mistyped option take no second.
"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from flows.cli.commands import uncollected
from flows.cli.commands.arguments import AsJson, Changes, RecipeName, Refresh, StageName, Verify
from flows.cli.signals import stoppable

app = typer.Typer()


@app.command()
def run(recipe: RecipeName = "universe", changes: Changes = None, refresh: Refresh = None, verify: Verify = False) -> None:
    """Run a recipe: the stages that changed, and no others.

    Examples: `folio run universe`, `folio run my_books/recipe.yaml --set sft.steps=200`
    """
    with stoppable(last=True):
        with uncollected():
            from flows.cli.run import run_recipe

        run_recipe(recipe, tuple(changes or ()), refresh or (), verify=verify)


@app.command()
def plan(
    recipe: RecipeName = "universe",
    changes: Changes = None,
    refresh: Refresh = None,
    verify: Verify = False,
    as_json: AsJson = False,
) -> None:
    """Show what a run would do, stage by stage, and why. Changes nothing.

    Example: `folio plan universe --set clean.ocr=false`
    """
    with uncollected():
        from flows.cli import planning, preflight

    settings = tuple(changes or ())
    plan = planning.plan_recipe(recipe, settings, planning.stages_to_refresh(refresh or (), recipe, settings), verify)
    preflight.require_machine(plan.recipe)
    estimate = plan.estimate()
    if as_json:
        print(json.dumps({"stages": [d.row() for d in plan.decisions], "estimate": estimate.row(), "stopped": plan.stopped}, indent=1))
    else:
        table = planning.plan_table(plan.decisions, plan.stopped, estimate)
        parts = table, planning.precision_line(plan.recipe), preflight.space_line(plan, estimate.written)
        print("\n".join(filter(None, parts)))


@app.command()
def refresh(stage: StageName, recipe: RecipeName = "universe", changes: Changes = None) -> None:
    """Run a recipe with one stage run again. If its output is the same, nothing after it reruns."""
    with stoppable(last=True):
        with uncollected():
            from flows.cli.run import run_recipe

        run_recipe(recipe, tuple(changes or ()), [stage])


@app.command()
def approve(
    gate: Annotated[str, typer.Argument(help="a gate that asks a person: corpus, base, chat or release")],
    reason: Annotated[str, typer.Option(help="why; kept in the lineage")],
    recipe: RecipeName = "universe",
    changes: Changes = None,
    name: Annotated[str, typer.Option(help="who answers; by default your user name")] = "",
    refuse: Annotated[bool, typer.Option("--refuse", help="refuse: the flow stops at the gate")] = False,
) -> None:
    """Approve the verdict of a gate that passed and asks a person, so the next run continues."""
    from flows.cli.approving import answer_gate

    print(answer_gate(gate, recipe, tuple(changes or ()), approved=not refuse, who=name, reason=reason))


@app.command()
def accept(
    stage: StageName,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="why the change leaves the output as it is; kept in the lineage")],
    recipe: RecipeName = "universe",
    changes: Changes = None,
) -> None:
    """Vouch that a change does not alter a stage's output, instead of running the stage again."""
    from flows.cli.planning import accept_changes

    print(accept_changes(stage, recipe, tuple(changes or ()), reason))
