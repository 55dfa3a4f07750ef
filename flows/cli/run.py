"""`folio run`: the pipeline on the local Prefect server, and then what a person wants to know about it."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

from flows.cli.signals import stoppable
from flows.recipe.loading import load
from flows.recipe.schema import Recipe
from flows.services import local as services
from tasks.stage.execution.run import RunOptions, use_options
from tasks.stage.execution.run_context import open_store
from tasks.stage.recovery.watchdog import sweep_dead_runs
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.journal import Journal
from tasks.stage.system.progress import format_duration


def run_recipe(name: str, changes: tuple[str, ...], refresh: frozenset[str], verify: bool) -> None:
    """Run a recipe and print the gates, a sample conversation, and where everything is."""
    recipe = load(name, changes)
    artifacts, seconds = carry_out(recipe, RunOptions(refresh=refresh, verify=verify))
    print(summary(recipe, artifacts, seconds))


def carry_out(recipe: Recipe, options: RunOptions) -> tuple[dict[str, Artifact], float]:
    """Run a recipe on the local Prefect server, started if need be; what it has at each place, and the seconds that the flow took."""
    with stoppable():
        return _carried_out(recipe, options)


def _carried_out(recipe: Recipe, options: RunOptions) -> tuple[dict[str, Artifact], float]:
    recipe.resources.require_extra()
    show_on_terminal()
    server = services.ensure_prefect()
    from prefect.exceptions import CancelledRun
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    from flows.pipeline import pipeline

    print(f"{recipe.name}: running; Prefect shows it at {server.url}", flush=True)
    started = time.monotonic()
    # The run's guardian tells at once of a run that died; a heartbeat tells after minutes, and its thread takes a second to end.
    with use_options(options), temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        try:
            artifacts = pipeline(recipe)
        except CancelledRun:
            raise KeyboardInterrupt from None
    return artifacts, time.monotonic() - started


def close_the_dead() -> None:
    """Mark the runs in folio's own store that died without an end as crashed; wait until that is done."""
    show_on_terminal()
    burial = sweep_dead_runs(Journal(open_store(services.store_url(), Path.cwd(), services.home())), services.tracking_url())
    if burial is not None:
        burial.wait()


def show_on_terminal() -> None:
    """Print folio's own lines on standard output, as they are."""
    # A handler that can't write, such as Prefect's when its server is away, is no news for a terminal.
    logging.raiseExceptions = False
    logger = logging.getLogger("folio")
    if not any(getattr(handler, "stream", None) is sys.stdout for handler in logger.handlers):
        handler = logging.StreamHandler(sys.stdout)
        # A line takes the place of the progress that a terminal shows in its last line.
        handler.setFormatter(logging.Formatter("\r\x1b[2K%(message)s" if sys.stdout.isatty() else "%(message)s"))
        logger.addHandler(handler)
    logger.propagate = False


def summary(recipe: Recipe, artifacts: dict[str, Artifact], seconds: float) -> str:
    """The end of a run in words: gates, probes, a conversation, places and commands."""
    settings = recipe.run_settings()
    store = open_store(settings["store"], settings["root"], settings["home"])
    folders = {place: store.local(artifact) for place, artifact in artifacts.items()}
    lines = [""]
    for place in ("gate.base", "gate.chat", "gate.release"):
        lines += [place, (folders[place] / "verdict.txt").read_text(), ""]
    lines += probes(artifacts["evaluate.base"])
    lines += [*(conversation(folders["evaluate.release"]) or beginnings(folders["evaluate.base"])), ""]
    page = services.home() / "reports" / f"{recipe.name}.html"
    rows = (
        ("the flow took", format_duration(seconds) + f" ({seconds:.1f} s)"),
        ("the model", str(folders["export"])),
        ("its INT8 form", str(folders["export"] / "int8")),
        ("the report", f"{page}   (open it in a browser)"),
        ("Prefect", f"{services.prefect_server().url}   ({command()} up)"),
        ("MLflow", f"{services.mlflow_page().url}   ({command()} up)"),
        ("talk to it", f"{command()} chat {recipe.name}"),
    )
    return "\n".join([*lines, *(f"{name:14} {value}" for name, value in rows)])


def probes(measured: Artifact) -> list[str]:
    """The probabilities that the recipe asked to see."""
    found = [f"P {name.removeprefix('probe.')} = {value:.3f}" for name, value in measured.metrics.items() if name.startswith("probe.")]
    return [*found, ""] if found else []


def command() -> str:
    """How this program was called, for a person to call it again."""
    called = Path(sys.argv[0])
    return os.path.relpath(called) if called.name == "folio" else "folio"


def conversation(folder: Path, most: int = 4) -> list[str]:
    """Answers to questions that stood in no example; nothing when none was asked."""
    talks = [sample for sample in _samples(folder, "conversation") if sample["set"] == "heldout"][:most]
    turns = [f"  {message['role']:9} {message['content']}" for talk in talks for message in talk["messages"]]
    return ["A conversation with it, about what it was never asked before:", *turns] if turns else []


def beginnings(folder: Path, most: int = 4) -> list[str]:
    """Documents as the model begins them by itself."""
    texts = [f"  {' '.join(sample['text'].split())}" for sample in _samples(folder, "beginning")[:most]]
    return ["Texts as the base model begins them:", *texts] if texts else ["No samples were drawn: evaluate.base.samples is 0."]


def _samples(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    return [sample for sample in map(json.loads, lines) if sample["kind"] == kind]
