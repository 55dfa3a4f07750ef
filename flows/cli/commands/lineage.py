"""`folio lineage`, `takedown`, `compare`: where things come from, what holds a document, how two runs differ. All from the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.commands.arguments import AsJson, StoreUrl
from flows.cli.views.lineage import compare_runs, show_lineage
from flows.cli.views.takedown import show_takedown

app = typer.Typer()


@app.command()
def lineage(
    thing: Annotated[
        str, typer.Argument(help="an artifact, key, digest, file, run, document, or registered model such as folio-universe@champion")
    ],
    forward: Annotated[bool, typer.Option("--forward", help="show what was made from it, instead of what made it")] = False,
    unfold: Annotated[bool, typer.Option("--all", help="show every shard on a line of its own")] = False,
    as_json: AsJson = False,
    drawing: Annotated[Path | None, typer.Option(metavar="FILE.svg", help="also draw it in this file")] = None,
    store: StoreUrl = "",
) -> None:
    """Show what made a thing, or what was made from it.

    Examples: `folio lineage model.safetensors`, `folio lineage books/alice.txt --forward`
    """
    print(show_lineage(thing, forward=forward, unfold=unfold, as_json=as_json, drawing=drawing, store=store))


@app.command()
def takedown(
    document: Annotated[str, typer.Argument(help="a document's id, path or title, or its file")],
    search: Annotated[bool, typer.Option("--search/--no-search", help="also search all files that folio keeps for its words")] = True,
    as_json: AsJson = False,
    store: StoreUrl = "",
) -> None:
    """List everything that holds a document, inside the store and out, and the steps that remove it. Changes nothing."""
    print(show_takedown(document, search=search, as_json=as_json, store=store))


@app.command()
def compare(
    first: Annotated[
        str, typer.Argument(help="a run: its id or the beginning of it, an MLflow run id, a recipe, or universe~1 for the one before")
    ],
    second: Annotated[str, typer.Argument(metavar="RUN", help="the run to compare it with")],
    as_json: AsJson = False,
    store: StoreUrl = "",
) -> None:
    """Show what differed between two runs, and what that changed.

    Example: `folio compare universe~1 universe`
    """
    print(compare_runs(first, second, as_json=as_json, store=store))
