"""The commands that read or tend a store: what made what, what holds a document, how runs differ, what to keep and what to believe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tasks.stage.tracking.exporter_process import start_ahead

store_app = typer.Typer()
StoreUrl = Annotated[str, typer.Option("--store", help="path or fsspec URL; by default the store in folio's home")]
RecipeName = Annotated[str, typer.Argument(help="name of a recipe that comes with folio, or path of a recipe file")]
Changes = Annotated[list[str] | None, typer.Option("--set", help="change a key: sft.learning_rate=0.001 (repeatable)")]
AsJson = Annotated[bool, typer.Option("--json", help="for machines")]


@store_app.command()
def gc(
    delete: Annotated[bool, typer.Option("--delete", help="delete it; without this it is only listed")] = False,
    keep: Annotated[int, typer.Option(min=1, help="finished runs of each recipe to keep, the newest ones")] = 3,
    keep_run: Annotated[list[str] | None, typer.Option(help="another run to keep, by its id or the beginning of it (repeatable)")] = None,
    unrecorded: Annotated[bool, typer.Option("--unrecorded", help="let go of what was made before runs were recorded, too")] = False,
    as_json: AsJson = False,
    store: StoreUrl = "",
) -> None:
    """List what no kept run and no registered model needs; delete it when asked, never under a running run."""
    from flows.cli.store_commands import gc as collected

    print(collected(delete=delete, keep=keep, named=tuple(keep_run or ()), unrecorded=unrecorded, as_json=as_json, store=store))


@store_app.command()
def verify(
    heal: Annotated[bool, typer.Option("--heal", help="put what is damaged aside and make it again")] = False,
    as_json: AsJson = False,
    store: StoreUrl = "",
) -> None:
    """Read every file of the store again and name what is damaged; exit code 1 when something is."""
    from flows.cli.store_commands import verify_store

    text, well = verify_store(heal=heal, as_json=as_json, store=store)
    print(text)
    if not well:
        raise typer.Exit(1)


@store_app.command()
def accept(
    place: Annotated[str, typer.Argument(help="stage, or place of one such as evaluate.base or clean[3]")],
    reason: Annotated[str, typer.Option(help="why the change does not alter the output; kept in the lineage")],
    recipe: RecipeName = "universe",
    changes: Changes = None,
) -> None:
    """Record that what changed does not alter a stage's output, instead of running it again."""
    from flows.cli.planning import accept_changes

    print(accept_changes(place, recipe, tuple(changes or ()), reason))


@store_app.command()
def refresh(
    place: Annotated[str, typer.Argument(help="stage, or place of one such as evaluate.base or clean[3]")],
    recipe: RecipeName = "universe",
    changes: Changes = None,
) -> None:
    """Run a recipe, and one of its stages in any case; equal bytes stop the wave there."""
    start_ahead()
    from flows.cli.planning import refreshing
    from flows.cli.run import run_recipe

    given = tuple(changes or ())
    run_recipe(recipe, given, refreshing([place], recipe, given), False)


@store_app.command()
def lineage(
    thing: Annotated[
        str, typer.Argument(help="artifact, key, digest, file, run, registered model such as folio-universe@champion, or document")
    ],
    forward: Annotated[bool, typer.Option("--forward", help="what was made from it, instead of what made it")] = False,
    unfold: Annotated[bool, typer.Option("--all", help="every shard on a line of its own")] = False,
    as_json: AsJson = False,
    drawing: Annotated[Path | None, typer.Option(help="SVG file to draw it in, too")] = None,
    store: StoreUrl = "",
) -> None:
    """What made a thing, or what was made from it; read from the store alone."""
    from flows.cli.lineage import trace

    print(trace(thing, forward=forward, unfold=unfold, as_json=as_json, drawing=drawing, store=store))


@store_app.command()
def takedown(
    document: Annotated[str, typer.Argument(help="a document's id, path or title, or its file")],
    as_json: AsJson = False,
    store: StoreUrl = "",
) -> None:
    """Every artifact and model that contains a document, and what to do for it to be gone; changes nothing."""
    from flows.cli.takedown import take_down

    print(take_down(document, as_json=as_json, store=store))


@store_app.command()
def compare(
    first: Annotated[
        str, typer.Argument(help="run: an id or the beginning of it, an MLflow run id, a recipe, or universe~1, the one before")
    ],
    second: Annotated[str, typer.Argument(help="the run to compare it with")],
    as_json: AsJson = False,
    store: StoreUrl = "",
) -> None:
    """What differed between two runs, and what came of it."""
    from flows.cli.compare import compare_runs

    print(compare_runs(first, second, as_json=as_json, store=store))
