"""`folio run`: a recipe on the local Prefect server."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path

from flows.cli.approving import asking
from flows.cli.disk_space import require_space
from flows.cli.modules import uncollected
from flows.cli.preflight import require_machine
from flows.cli.run_bars import bars
from flows.cli.signals import stoppable
from flows.cli.views.run_summary import summary
from flows.recipe.loading import load, recipe_argument
from flows.recipe.schema import Recipe
from flows.services import servers
from flows.services.home import home, store_url, tracking_url
from tasks.stage.execution.live_runs import home_in_use
from tasks.stage.execution.run import RunOptions, use_options
from tasks.stage.execution.run_context import open_store
from tasks.stage.recovery.follower import settle_earlier_runs
from tasks.stage.recovery.servers import Servers
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.journal import Journal
from tasks.stage.system.progress import TerminalHandler, log


def run_recipe(name: str, changes: tuple[str, ...], refresh: frozenset[str], verify: bool) -> None:
    """Run a recipe, then print the gates, a sample conversation, and where everything is."""
    recipe = load(name, changes)
    argument, approver = recipe_argument(name), asking(name, changes, recipe.resources.notify)
    options = RunOptions(refresh=refresh, verify=verify, argument=argument, approver=approver)
    artifacts, seconds = execute_recipe(recipe, options)
    print(summary(recipe, artifacts, seconds, argument), flush=True)
    if not servers.answers(servers.prefect_server()):
        # Prefect's threads would try for minutes to reach the server before they let this process end.
        os._exit(0)


def execute_recipe(recipe: Recipe, options: RunOptions) -> tuple[dict[str, Artifact], float]:
    """Run a recipe on the local Prefect server, which is started if need be. Return the artifact at each position, and the seconds."""
    with stoppable(), home_in_use(home()):
        return _execute(recipe, options)


def _execute(recipe: Recipe, options: RunOptions) -> tuple[dict[str, Artifact], float]:
    require_machine(recipe)
    require_space(recipe)
    show_on_terminal()
    server = servers.ensure_prefect()
    from httpx import HTTPError
    from prefect.exceptions import CancelledRun
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    with uncollected():
        from flows.pipeline import pipeline
        from tasks.stage.execution.flow_start import begin_flow

    print(f"{recipe.name}: running; watch it at {server.url}", flush=True)
    started = time.monotonic()
    # Prefect's heartbeat would report a dead run after minutes, and its thread takes a second to stop; its follower reports it at once.
    with use_options(options), temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        try:
            with bars(recipe):
                artifacts = begin_flow(lambda: pipeline(recipe), begun=lambda: bool(options.runs))
        except CancelledRun:
            raise KeyboardInterrupt from None
        except HTTPError as error:
            artifacts = _without_server(options, server.url, error)
    return artifacts, time.monotonic() - started


def _without_server(options: RunOptions, url: str, error: Exception) -> dict[str, Artifact]:
    """Return the artifacts of a run that succeeded although Prefect's server went away; else raise the run's error."""
    run = options.runs[-1] if options.runs else None
    if run is None or run.record.status != "finished":
        error.add_note(f"The run had ended before: {run.record.error}" if run and run.record.error else "No stage had begun")
        raise error
    log(f"the Prefect server at {url} went away; the next run, `folio up` or `folio sync` tells it how this one ended")
    return run.artifacts


def close_dead_runs() -> None:
    """Mark runs in folio's own store that died as crashed, bring both servers up to date, and wait for that."""
    show_on_terminal()
    settling = settle_earlier_runs(Journal(open_store(store_url(), Path.cwd(), home())), _servers())
    if settling is not None:
        settling.wait()


def sync(store: str) -> tuple[list[str], bool]:
    """Bring MLflow and Prefect up to date with a store's journal; return one line for each run, and whether all succeeded."""
    from tasks.stage.recovery.sync import synchronize

    journal = Journal(open_store(store or store_url(), Path.cwd(), home()))
    done = list(synchronize(journal, _servers()))
    lines = []
    for one in done:
        problems = "; ".join(f"{name}: {problem}" for name, problem in one.problems.items())
        lines.append(f"run {one.run.id} of {one.run.recipe}, {one.run.status}: {f'not told ({problems})' if problems else 'told'}")
    return lines or ["nothing to do: MLflow and Prefect know every run of this store"], not any(one.problems for one in done)


def _servers() -> Servers:
    return Servers(tracking_url(), f"{servers.prefect_server().url}/api", home())


def show_on_terminal() -> None:
    """Print folio's own log lines on standard output, without decoration."""
    # A handler that can't write, such as Prefect's while its server is away, must not fill the terminal with tracebacks.
    logging.raiseExceptions = False
    logger = logging.getLogger("folio")
    if not any(getattr(handler, "stream", None) is sys.stdout for handler in logger.handlers):
        logger.addHandler(TerminalHandler(sys.stdout))
    logger.propagate = False
