"""The commands that read or tend a store: what made what, what holds a document, how two runs differ."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

store_app = typer.Typer()
AsJson = Annotated[bool, typer.Option("--json", help="for machines")]
StoreUrl = Annotated[str, typer.Option(help="store to look in; by default the one in folio's home")]


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
    from flows.tracing import trace

    print(trace(thing, forward=forward, unfold=unfold, as_json=as_json, drawing=drawing, store=store))


@store_app.command()
def takedown(
    document: Annotated[str, typer.Argument(help="a document's id, path or title, or its file")],
    as_json: AsJson = False,
    store: StoreUrl = "",
) -> None:
    """Every artifact and model that contains a document, and what to do for it to be gone; changes nothing."""
    from flows.takedown import take_down

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
    from flows.comparing import compare_runs

    print(compare_runs(first, second, as_json=as_json, store=store))
