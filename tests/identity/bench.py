"""One change, for real: a copy of the repository and of a finished run, changed, planned, run and planned again in a process of its own.

This module imports nothing of the rooms: the process that works takes them from the copy, so that what runs is what was edited.
"""

from __future__ import annotations

import compileall
import multiprocessing
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tasks.stage.store.journal import Journal, RunRecord

ROOT = Path(__file__).resolve().parents[2]
SERVICE_UNAVAILABLE = 503
ROOMS = ("flows", "tasks", "data", "model")
# What every process needs, imported once by the process that the others are forked from.
PRELOADED = (
    *("prefect.main", "prefect.artifacts", "fastapi", "pydantic", "typer", "psutil", "fsspec", "jinja2"),
    *("torch", "numpy.typing", "tokenizers", "duckdb", "pyarrow.parquet", "ftfy", "chardet"),
)


@dataclass
class Asked:
    """Options of a run: keys that are set, stages to refresh, whether everything is verified."""

    changes: tuple[str, ...] = ()
    refresh: frozenset[str] = frozenset()
    verify: bool = False


@dataclass
class Site:
    """A folder with all that a run is made of; `asked` is what its plan and its run are given."""

    folder: Path
    prefect: str
    asked: Asked = field(default_factory=Asked)

    @property
    def rooms(self) -> Path:
        """The code."""
        return self.folder / "rooms"

    @property
    def books(self) -> Path:
        """The texts that the recipe reads."""
        return self.folder / "books"

    @property
    def home(self) -> Path:
        """Folio's home."""
        return self.folder / "home"

    @property
    def store(self) -> Path:
        """Where artifacts lie."""
        return self.home / "store"

    @property
    def packages(self) -> Path:
        """Installed libraries that are found before all others."""
        return self.folder / "site-packages"

    def artifact(self, label: str) -> Path:
        """The folder of an artifact, such as pretrain/tiny or evaluate/tiny-base."""
        (found,) = self.store.glob(f"{label}-????????????")
        return found


Change = Callable[[Site], None]


@dataclass(frozen=True)
class Outcome:
    """What a plan said, what the run after it did, and what a plan said then."""

    planned: dict[str, tuple[str, tuple[str, ...]]]
    executed: frozenset[str]
    reused: frozenset[str]
    failed: str
    stopped: str
    after: dict[str, str]
    seconds: float


def forking() -> ForkServerContext:
    """What starts a process that has loaded libraries and nothing of ours."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.identity.bench", *PRELOADED])
    return context


def unchanged(_: Site) -> None:
    """No change."""


def build(folder: Path, prefect: str, recipe: Path | None = None, change: Change = unchanged) -> Outcome:
    """A finished run to start from; `recipe`: another than the smallest; `change`: made before it."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / "rooms" / room, ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(folder / "rooms", quiet=1)
    here = Path(__file__).parent
    shutil.copytree(here / "books", folder / "books")
    shutil.copy2(recipe or here / "recipe.yaml", folder / "recipe.yaml")
    return run_change(folder, prefect, change)


def copy_and_run_change(base: Path, folder: Path, prefect: str, change: Change) -> Outcome:
    """The same in a copy of the run at `base`, which goes afterwards."""
    shutil.copytree(base, folder, symlinks=True)
    try:
        outcome = run_change(folder, prefect, change)
    except Exception:  # noqa: BLE001  # told as what it is, whatever it is
        # An exception of a library may not survive the way to the other process, and would end it.
        raise AssertionError(traceback.format_exc()) from None
    shutil.rmtree(folder, ignore_errors=True)  # the follower of the last run may still write there
    return outcome


def copy_and_plan_change(base: Path, folder: Path, prefect: str, change: Change) -> dict[str, tuple[str, tuple[str, ...]]]:
    """What a plan says in a copy of the code of the run at `base`, which is looked at where it is."""
    folder.mkdir()
    for name in ("home", "books"):
        (folder / name).symlink_to(base / name)
    shutil.copytree(base / "rooms", folder / "rooms")
    shutil.copy2(base / "recipe.yaml", folder / "recipe.yaml")
    try:
        site = enter(folder, prefect)
        change(site)
        planned, _ = plan(site)
    except Exception:  # noqa: BLE001  # told as what it is, whatever it is
        raise AssertionError(traceback.format_exc()) from None
    shutil.rmtree(folder)
    return planned


def enter(folder: Path, prefect: str) -> Site:
    """Make this process one that works in a folder, with the code there."""
    site = Site(folder, prefect)
    told = os.open(folder / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(told, descriptor)
    os.environ |= {"FOLIO_HOME": str(site.home), "OMP_NUM_THREADS": "1"}
    os.chdir(folder)
    sys.path[:0] = [str(site.packages), str(site.rooms)]
    held = [name for name in sys.modules if name.split(".")[0] in ROOMS]
    assert not held, f"imported before the copy was entered: {held[:3]}"
    return site


def run_change(folder: Path, prefect: str, change: Change) -> Outcome:
    """Apply one change, then plan, run and plan again."""
    began = time.monotonic()
    site = enter(folder, prefect)
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    with temporary_settings({PREFECT_API_URL: prefect, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        change(site)
        planned, stopped = plan(site)
        failed = run_once(site)
        executed, reused = done(site)
        site.asked.refresh = frozenset()
        after, _ = plan(site)
    then = {position: action for position, (action, _) in after.items()}
    return Outcome(planned, executed, reused, failed, stopped, then, time.monotonic() - began)


def plan(site: Site) -> tuple[dict[str, tuple[str, tuple[str, ...]]], str]:
    """Action and causes of each position, and the gate that would stop the flow."""
    from flows.cli.planning import plan_recipe

    told = plan_recipe("recipe.yaml", site.asked.changes, site.asked.refresh, site.asked.verify)
    return {decision.position: (decision.action, decision.causes) for decision in told.decisions}, told.stopped


def run_once(site: Site) -> str:
    """Run the recipe; the gate's table when one stopped it."""
    from prefect.exceptions import PrefectHTTPStatusError

    from flows.flow import pipeline
    from flows.recipe.loading import load
    from tasks.gate import GateFailed
    from tasks.stage.execution.run import RunOptions, use_options

    recipe = load("recipe.yaml", site.asked.changes)
    for patience in (True, True, False):
        try:
            with use_options(RunOptions(refresh=site.asked.refresh, verify=site.asked.verify)):
                pipeline(recipe)
        except GateFailed as error:
            return str(error)
        except PrefectHTTPStatusError as error:
            # The one SQLite server of the session is used by all lines at once and may be too busy to begin another flow.
            if not patience or error.response.status_code != SERVICE_UNAVAILABLE:
                raise
        else:
            break
    return ""


def done(site: Site) -> tuple[frozenset[str], frozenset[str]]:
    """Positions executed and positions reused by the last run."""
    _, record = last_run(site)
    executed = frozenset(position for position, had in record.positions.items() if had.action == "executed")
    return executed, frozenset(record.positions) - executed


def last_run(site: Site) -> tuple[Journal, RunRecord]:
    """The journal, and what it has of the last run."""
    from flows.recipe.loading import load
    from tasks.stage.store.journal import Journal
    from tasks.stage.store.store import open_store

    recipe = load("recipe.yaml", site.asked.changes)
    settings: dict[str, Any] = recipe.run_settings()
    journal = Journal(open_store(settings["store"], settings["root"], settings["home"]))
    record = journal.latest(recipe.name)
    assert record is not None
    return journal, record


def wait_for_mlflow(site: Site) -> None:
    """Wait until MLflow has been told of the last run, if it is."""
    from flows.recipe.loading import load
    from tasks.stage.tracking.export import wait_until_exported

    journal, record = last_run(site)
    if load("recipe.yaml", site.asked.changes).run_settings()["tracking"]:
        assert wait_until_exported(journal, record.id, 120) is not None


def accept(site: Site, position: str) -> None:
    """Vouch for what changed at a position."""
    from flows.cli.planning import accept_changes

    accept_changes(position, "recipe.yaml", site.asked.changes, "it changes no byte")
