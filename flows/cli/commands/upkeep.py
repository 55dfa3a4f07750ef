"""Keep the services running and the store in order: `folio up`, `down` and `env`; `gc`, `verify` and `sync`."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from flows.cli.commands.arguments import AsJson, StoreUrl
from flows.services import servers
from flows.services.home import home, tracking_url
from flows.services.processes import stop

services_app = typer.Typer()


@services_app.command(rich_help_panel="Look after")
def up() -> None:
    """Start the Prefect server and the MLflow page on this machine, if they are not running."""
    from flows.cli.run import close_dead_runs

    for service in (servers.ensure_prefect(), servers.ensure_mlflow(tracking_url())):
        print(f"{service.name}: {service.page}")
    close_dead_runs()


@services_app.command(rich_help_panel="Look after")
def down(
    drain: Annotated[bool, typer.Option("--drain", help="ask live runs to stop at a checkpoint, and wait for them")] = False,
) -> None:
    """Stop the servers that `folio up` or `folio run` started. Refuses while runs are live."""
    from flows.cli.running import drain_runs, refuse_while_live
    from tasks.stage.execution.live_runs import closed_to_runs

    with closed_to_runs(home(), drain_runs if drain else refuse_while_live):
        stopped = stop()
    print(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")


@services_app.command(rich_help_panel="Look after")
def doctor() -> None:
    """Look at this machine: versions, ports, disk, memory, accelerators. Says what would stop or slow a run, and what to do."""
    from flows.cli.doctor import examine, report

    findings = examine()
    print(report(findings))
    if any(finding.verdict == "fault" for finding in findings):
        raise typer.Exit(1)


@services_app.command(rich_help_panel="Look after")
def env() -> None:
    """Print the settings that let `prefect` and `mlflow` find this home. Use: eval "$(folio env)"."""
    for name, value in servers.settings().items():
        print(f"export {name}={shlex.quote(value)}")


store_app = typer.Typer()


@store_app.command(rich_help_panel="Look after")
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
    from flows.cli.store_maintenance import garbage_report

    named, documents = tuple(keep_run or ()), tuple(without or ())
    print(garbage_report(delete=delete, keep=keep, named=named, without=documents, unrecorded=unrecorded, as_json=as_json, store=store))


@store_app.command(rich_help_panel="Look after")
def verify(
    heal: Annotated[bool, typer.Option("--heal", help="quarantine what is damaged and make it again")] = False,
    as_json: AsJson = False,
    store: StoreUrl = "",
) -> None:
    """Read every file in the store again and name what is damaged. Exits with 1 if anything is."""
    from flows.cli.store_maintenance import verify_store

    text, healthy = verify_store(heal=heal, as_json=as_json, store=store)
    print(text)
    if not healthy:
        raise typer.Exit(1)


@store_app.command(rich_help_panel="Look after")
def sync(store: Annotated[str, typer.Argument(help="path or fsspec URL of a store; by default the one in folio's home")] = "") -> None:
    """Bring MLflow and Prefect up to date with a store's runs. Exits with 1 if that fails."""
    from flows.cli.run import sync

    lines, told = sync(store)
    print("\n".join(lines))
    if not told:
        raise typer.Exit(1)
