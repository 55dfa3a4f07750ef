"""`folio gc`, `verify` and `sync`: keep the store in order, and the servers told."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.commands.arguments import AsJson, StoreUrl
from flows.cli.running import sync
from flows.cli.store_maintenance import garbage_report, verify_store

app = typer.Typer()


@app.command()
def gc(
    delete: Annotated[bool, typer.Option("--delete", help="delete it; without this it is only listed")] = False,
    keep: Annotated[int, typer.Option(min=1, help="how many of each recipe's newest finished runs to keep")] = 3,
    keep_run: Annotated[list[str] | None, typer.Option(help="keep this run too, by its id or the beginning of it (repeatable)")] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="delete what holds this document or learned from it, even if a run needs it (repeatable)")
    ] = None,
    unrecorded: Annotated[bool, typer.Option("--unrecorded", help="include artifacts from before runs were recorded")] = False,
    as_json: AsJson = False,
    store: StoreUrl = "",
) -> None:
    """List what no kept run and no registered model needs, or delete it. Refuses while a run is going on."""
    named, documents = tuple(keep_run or ()), tuple(without or ())
    print(garbage_report(delete=delete, keep=keep, named=named, without=documents, unrecorded=unrecorded, as_json=as_json, store=store))


@app.command()
def verify(
    heal: Annotated[bool, typer.Option("--heal", help="quarantine what is damaged and make it again")] = False,
    as_json: AsJson = False,
    store: StoreUrl = "",
) -> None:
    """Read every file in the store again and name what is damaged. Exits with 1 if anything is."""
    text, healthy = verify_store(heal=heal, as_json=as_json, store=store)
    print(text)
    if not healthy:
        raise typer.Exit(1)


@app.command("sync")
def sync_command(
    store: Annotated[str, typer.Argument(help="path or fsspec URL of a store; by default the one in folio's home")] = "",
) -> None:
    """Bring MLflow and Prefect up to date with a store's runs. Exits with 1 if that fails."""
    lines, told = sync(store)
    print("\n".join(lines))
    if not told:
        raise typer.Exit(1)
