"""`folio up`, `down`, `env`: the local Prefect server and MLflow page."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

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
def env() -> None:
    """Print the settings that let `prefect` and `mlflow` find this home. Use: eval "$(folio env)"."""
    for name, value in servers.settings().items():
        print(f"export {name}={shlex.quote(value)}")
