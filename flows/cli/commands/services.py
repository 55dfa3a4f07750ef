"""`folio up`, `down`, `doctor` and `env`: keep the services running, and look at the machine."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from flows.cli.doctor import examine, report
from flows.cli.running import close_dead_runs, drain_runs, refuse_while_live
from flows.services import servers
from flows.services.home import home, tracking_url
from flows.services.processes import stop
from tasks.stage.execution.live_runs import closed_to_runs

app = typer.Typer()


@app.command()
def up() -> None:
    """Start the Prefect server and the MLflow page on this machine, if they are not running."""
    for service in (servers.ensure_prefect(), servers.ensure_mlflow(tracking_url())):
        print(f"{service.name}: {service.page}")
    close_dead_runs()


@app.command()
def down(
    drain: Annotated[bool, typer.Option("--drain", help="ask live runs to stop at a checkpoint, and wait for them")] = False,
) -> None:
    """Stop the servers that `folio up` or `folio run` started. Refuses while runs are live."""
    with closed_to_runs(home(), drain_runs if drain else refuse_while_live):
        stopped = stop()
    print(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")


@app.command()
def doctor() -> None:
    """Look at this machine: versions, ports, disk, memory, accelerators. Says what would stop or slow a run, and what to do."""
    findings = examine()
    print(report(findings))
    if any(finding.verdict == "fault" for finding in findings):
        raise typer.Exit(1)


@app.command()
def env() -> None:
    """Print the settings that let `prefect` and `mlflow` find this home. Use: eval "$(folio env)"."""
    for name, value in servers.settings().items():
        print(f"export {name}={shlex.quote(value)}")
