"""`folio run`: a recipe on the local Prefect server."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

from flows.cli.approving import asking
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
from tasks.stage.system.progress import TerminalHandler


def run_recipe(name: str, changes: tuple[str, ...], refresh: frozenset[str], verify: bool) -> None:
    """Run a recipe, then print the gates, a sample conversation, and where everything is."""
    recipe = load(name, changes)
    argument, approver = recipe_argument(name), asking(name, changes, recipe.resources.notify)
    options = RunOptions(refresh=refresh, verify=verify, argument=argument, approver=approver)
    artifacts, seconds = execute_recipe(recipe, options)
    print(summary(recipe, artifacts, seconds, argument))


def execute_recipe(recipe: Recipe, options: RunOptions) -> tuple[dict[str, Artifact], float]:
    """Run a recipe on the local Prefect server, which is started if need be. Return the artifact at each position, and the seconds."""
    with stoppable(), home_in_use(home()):
        return _execute(recipe, options)


def _execute(recipe: Recipe, options: RunOptions) -> tuple[dict[str, Artifact], float]:
    recipe.resources.require_extra()
    show_on_terminal()
    server = servers.ensure_prefect()
    from prefect.exceptions import CancelledRun
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    from flows.pipeline import pipeline

    print(f"{recipe.name}: running; watch it at {server.url}", flush=True)
    started = time.monotonic()
    # Prefect's heartbeat would report a dead run after minutes, and its thread takes a second to stop; its follower reports it at once.
    with use_options(options), temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        try:
            with bars(recipe):
                artifacts = pipeline(recipe)
        except CancelledRun:
            raise KeyboardInterrupt from None
    return artifacts, time.monotonic() - started


def close_dead_runs() -> None:
    """Mark runs in folio's own store that died without an end as crashed, tell both servers what they have missed, and wait for that."""
    show_on_terminal()
    told = Servers(tracking_url(), f"{servers.prefect_server().url}/api", home())
    settling = settle_earlier_runs(Journal(open_store(store_url(), Path.cwd(), home())), told)
    if settling is not None:
        settling.wait()


def show_on_terminal() -> None:
    """Print folio's own log lines on standard output, without decoration."""
    # A handler that can't write, such as Prefect's while its server is away, must not fill the terminal with tracebacks.
    logging.raiseExceptions = False
    logger = logging.getLogger("folio")
    if not any(getattr(handler, "stream", None) is sys.stdout for handler in logger.handlers):
        logger.addHandler(TerminalHandler(sys.stdout))
    logger.propagate = False
