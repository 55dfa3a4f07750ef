"""`folio`: a thin face over the flows. Errors a user can act on are one message without a traceback; `--debug` shows the rest."""

from __future__ import annotations

import json
import os
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.corpus import corpus_app
from flows.cli.size import size_app
from flows.cli.store import AsJson, Changes, RecipeName, store_app
from flows.services import local as services
from tasks.stage.tracking.exporter_process import start_ahead

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(store_app)
app.add_typer(size_app)
app.add_typer(corpus_app, name="corpus")
Refresh = Annotated[list[str] | None, typer.Option(help="stage to run again although nothing changed (repeatable)")]
Verify = Annotated[bool, typer.Option("--verify", help="re-hash every artifact before it is reused")]


@app.callback()
def settings(debug: Annotated[bool, typer.Option("--debug", help="show tracebacks")] = False) -> None:
    """From a pile of books to a language model you can talk to, and an exact account of how it got there."""
    services.configure()


@app.command()
def run(recipe: RecipeName = "universe", changes: Changes = None, refresh: Refresh = None, verify: Verify = False) -> None:
    """Run a recipe: every stage whose identity changed, and no other."""
    start_ahead()
    from flows.cli.planning import refreshing
    from flows.cli.run import run_recipe

    given = tuple(changes or ())
    run_recipe(recipe, given, refreshing(refresh, recipe, given), verify)


@app.command()
def plan(
    recipe: RecipeName = "universe",
    changes: Changes = None,
    refresh: Refresh = None,
    verify: Verify = False,
    as_json: AsJson = False,
) -> None:
    """Say what a run would do, stage by stage, and why; change nothing."""
    from flows.cli.plan_table import Estimate, plan_table
    from flows.cli.planning import plan_recipe, refreshing

    given = tuple(changes or ())
    plan = plan_recipe(recipe, given, refreshing(refresh, recipe, given), verify)
    cores = plan.recipe.resources.cores
    if as_json:
        estimate = asdict(Estimate.of(plan.decisions, cores))
        print(json.dumps({"stages": [d.row() for d in plan.decisions], "estimate": estimate, "stopped": plan.stopped}, indent=1))
    else:
        print(plan_table(plan.decisions, plan.stopped, cores))


@app.command()
def chat(
    model: Annotated[str, typer.Argument(help="recipe whose released model to talk to, or a model directory")] = "universe",
    int8: Annotated[bool, typer.Option("--int8", help="the INT8 model")] = False,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token")] = 0.0,
    top_k: Annotated[int | None, typer.Option(help="draw among the k likeliest tokens")] = None,
    top_p: Annotated[float | None, typer.Option(help="draw among the likeliest tokens of this total probability")] = None,
    max_new_tokens: Annotated[int, typer.Option(help="longest reply, tokens")] = 64,
    seed: Annotated[int | None, typer.Option(help="of the drawing; 0 unless given")] = None,
    question: Annotated[str | None, typer.Option("--ask", help="ask this one question and end")] = None,
) -> None:
    """Talk to a model."""
    from flows.cli.chat import talk

    talk(model, int8, {"temperature": temperature, "top_k": top_k, "top_p": top_p, "max_new_tokens": max_new_tokens}, seed, question)


@app.command()
def up() -> None:
    """Start the Prefect server and the MLflow page on loopback, unless they run already."""
    from flows.cli.run import close_the_dead

    for service in (services.ensure_prefect(), services.ensure_mlflow(services.tracking_url())):
        print(f"{service.name}: {service.url}")
    close_the_dead()


@app.command()
def down() -> None:
    """Stop the services that `folio up` or `folio run` started here."""
    stopped = services.stop()
    print(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")


@app.command()
def env() -> None:
    """Print the settings that the `prefect` and `mlflow` commands need here: eval "$(folio env)"."""
    for name, value in services.settings().items():
        print(f"export {name}={shlex.quote(value)}")


@app.command()
def recipes() -> None:
    """List the recipes that come with folio."""
    from flows.recipe.loading import built_in, load

    for name, path in built_in().items():
        print(f"{name:12} {load(name).description}\n{'':12} {path}")


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="folder with your own texts")]) -> None:
    """Look at a folder of texts and write a commented recipe for it."""
    from flows.recipe.initialize import write_recipe

    print(write_recipe(folder))


def main() -> None:
    """Entry point of the `folio` command."""
    if "--debug" in sys.argv:
        app()
        return
    try:
        app()
    except Exception as error:  # noqa: BLE001  # a traceback helps nobody who didn't ask for it
        from flows.cli.errors import explain, server_is_away

        print(f"folio: {explain(error)}", file=sys.stderr, flush=True)
        if server_is_away(error):
            # Prefect would go on for minutes to tell a server that isn't there.
            sys.stdout.flush()
            os._exit(1)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
