"""One change, for real: a copy of the repository and of a finished run, changed, planned, run and planned again in a process of its own.

This module imports nothing of the rooms: the process that works takes them from the copy, so that what runs is what was edited.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("flows", "tasks", "data", "model")
# What every process needs, imported once by the process that the others are forked from.
PRELOADED = (
    "prefect",
    "pydantic",
    "typer",
    "torch",
    "duckdb",
    "pyarrow.parquet",
    "tokenizers",
    "fsspec",
    "jinja2",
    "ftfy",
    "charset_normalizer",
)


@dataclass(frozen=True)
class Asked:
    """What is asked of a run: keys that are set, stages to refresh, whether everything is read again."""

    changes: tuple[str, ...] = ()
    refresh: frozenset[str] = frozenset()
    verify: bool = False


@dataclass
class Site:
    """A folder with all that a run is made of; `asked` is what its plan and its run are given."""

    folder: Path
    prefect: str
    asked: Asked = field(default_factory=Asked)
    libraries: tuple[tuple[str, str], ...] = ()

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

    def artifact(self, label: str) -> Path:
        """The folder of an artifact, such as pretrain/tiny or evaluate/tiny-base."""
        (found,) = self.store.glob(f"{label}-????????")
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


def build(folder: Path, prefect: str) -> Outcome:
    """A finished run to start from."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / "rooms" / room, ignore=shutil.ignore_patterns("__pycache__"))
    here = Path(__file__).parent
    shutil.copytree(here / "books", folder / "books")
    shutil.copy2(here / "recipe.yaml", folder / "recipe.yaml")
    return observe(Site(folder, prefect))


def carry_out(base: Path, folder: Path, prefect: str, change: Change) -> Outcome:
    """Apply one change to a copy of the run at `base` and see what comes of it."""
    shutil.copytree(base, folder, symlinks=True)
    site = Site(folder, prefect)
    change(site)
    return observe(site)


def observe(site: Site) -> Outcome:
    """Plan, run, plan again."""
    began = time.monotonic()
    _enter(site)
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    with ExitStack() as stack:
        stack.enter_context(temporary_settings({PREFECT_API_URL: site.prefect, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}))
        planned, stopped = plan(site)
        executed, reused, failed = run(site)
        after, _ = plan(site)
    then = {place: action for place, (action, _) in after.items()}
    return Outcome(planned, executed, reused, failed, stopped, then, time.monotonic() - began)


def _enter(site: Site) -> None:
    os.environ["FOLIO_HOME"] = str(site.home)
    os.environ["OMP_NUM_THREADS"] = "1"
    os.chdir(site.folder)
    sys.path[:0] = [str(site.rooms)]
    if site.libraries:
        sys.path[:0] = [str(_installed(site))]
    held = [name for name in sys.modules if name.split(".")[0] in ROOMS]
    assert not held, f"imported before the copy was entered: {held[:3]}"


def _installed(site: Site) -> Path:
    """A folder of Python's in which libraries have the versions asked for."""
    folder = site.folder / "site-packages"
    for name, version in site.libraries:
        metadata = folder / f"{name}-{version}.dist-info" / "METADATA"
        metadata.parent.mkdir(parents=True)
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return folder


def plan(site: Site) -> tuple[dict[str, tuple[str, tuple[str, ...]]], str]:
    """Action and causes of each place, and the gate that would stop the flow."""
    from flows.planning import plan_recipe

    told = plan_recipe("recipe.yaml", site.asked.changes, site.asked.refresh, site.asked.verify)
    return {decision.place: (decision.action, decision.causes) for decision in told.decisions}, told.stopped


def run(site: Site) -> tuple[frozenset[str], frozenset[str], str]:
    """Places executed and reused as the journal has them, and why the run failed if it did."""
    from flows.loading import load
    from flows.pipeline import pipeline
    from tasks.gate import GateFailed
    from tasks.stage.journal import Journal
    from tasks.stage.opening import open_store
    from tasks.stage.run import Options, asking

    recipe, failed = load("recipe.yaml", site.asked.changes), ""
    settings: dict[str, Any] = recipe.run_settings()
    try:
        with asking(Options(refresh=site.asked.refresh, verify=site.asked.verify)):
            pipeline(recipe)
    except GateFailed as error:
        failed = str(error)
    record = Journal(open_store(settings["store"], settings["root"], settings["home"])).latest(recipe.name)
    assert record is not None
    done = {action: frozenset(p for p, place in record.places.items() if place.action == action) for action in ("executed", "reused")}
    return done["executed"], done["reused"], failed
