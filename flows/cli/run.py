"""`folio run`: a recipe on the local Prefect server.

What is ahead of a run, and its bars on a terminal, by what a plan says about its stages and their times.

The plan is made in parallel with the run once a stage executes; a run that reuses everything needs none.

The end of a run: gates, how good the model is, probes, a conversation, and where everything is.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from httpx import HTTPError
from prefect.exceptions import CancelledRun
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from flows.cli.approving import asking, way_out
from flows.cli.planning import Plan, TimeEstimate, stages_to_refresh, walk
from flows.cli.preflight import require_machine, require_space
from flows.cli.signals import stoppable
from flows.cli.views.diff_rendering import printable
from flows.flow import pipeline
from flows.recipe.loading import load, recipe_argument
from flows.recipe.schema import Recipe
from flows.services import servers
from flows.services.home import home
from tasks.gate import GateFailed
from tasks.reporting.abilities import HEADER as SKILLS_HEADER
from tasks.reporting.abilities import skill_rows
from tasks.reporting.arena import arena_text
from tasks.reporting.gates import HEADER, gate_text
from tasks.reporting.page import LIST
from tasks.reporting.standing import standing_of
from tasks.reporting.summary import TUNED, Results, previous_metrics
from tasks.reporting.wording import model_form
from tasks.stage.execution.live_runs import home_in_use
from tasks.stage.execution.run import RunOptions, use_options
from tasks.stage.execution.run_context import begin_flow
from tasks.stage.store.artifact import Artifact, without_shard
from tasks.stage.store.store import open_store
from tasks.stage.system.columns import wrapped
from tasks.stage.system.command_line import folio
from tasks.stage.system.live_bars import LiveBars
from tasks.stage.system.progress import LOG_SECONDS, format_duration, log, show_on_terminal
from tasks.stage.tracking.cost import total_cost


@contextmanager
def foreseen(recipe: Recipe, options: RunOptions) -> Iterator[None]:
    """Say what is ahead during the block, once a stage executes, and draw progress if standard output is a terminal."""
    drawing = LiveBars(recipe.name) if sys.stdout.isatty() else None
    ended = threading.Event()

    def look_ahead() -> None:
        options.working.wait()
        # A plan takes a second or two of a processor, which in a log is only worth it for a run that lasts.
        if drawing is None and ended.wait(LOG_SECONDS):
            return
        try:
            plan = walk(recipe, options.refresh)
            estimate = plan.estimate()
            if not ended.is_set():
                log("\n".join(plan.ahead(estimate)))
            if drawing is not None:
                drawing.expect(expected_seconds(plan, estimate))
        except Exception as error:  # noqa: BLE001  # the run itself will say what is wrong, and better
            log(f"how long the run takes is not known ({type(error).__name__})")

    threading.Thread(target=look_ahead, daemon=True).start()
    try:
        with drawing.drawn() if drawing is not None else nullcontext():
            yield
    finally:
        ended.set()


def expected_seconds(plan: Plan, estimate: TimeEstimate) -> dict[str, float | None]:
    """Return a plan's stages and the expected seconds of each; None if unknown, 0 if reused."""
    likely = {stage: seconds.likely if seconds is not None else None for stage, (seconds, _) in estimate.stages.items()}
    return {stage: likely.get(stage, 0.0) for stage in (without_shard(decision.position) for decision in plan.decisions)}


def summary(recipe: Recipe, artifacts: dict[str, Artifact], seconds: float, argument: str = "") -> str:
    """Return what a person wants to know when a run has ended. `argument`: what names the recipe in commands; by default its name."""
    settings = recipe.run_settings()
    store = open_store(settings["store"], settings["root"], settings["home"])
    folders = {position: store.local(artifact) for position, artifact in artifacts.items()}
    lines = [""]
    for position in ("gate.base", "gate.chat", "gate.release"):
        rows = json.loads((folders[position] / "verdict.json").read_text(encoding="utf-8"))["rows"]
        lines += [position, gate_text([[str(row[name]) for name in HEADER] for row in rows]), ""]
    standing = standing_of(artifacts, store.local, previous_metrics(store, recipe.name, artifacts.get(TUNED)))
    lines += [
        *(line for said in (*standing.sentences(), *standing.since()) for line in wrapped(said, "- ")),
        "",
    ]
    lines += arena_text(Results(artifacts, store.local))
    lines += probes(artifacts["evaluate.base"])
    lines += skills(artifacts["evaluate.base"], artifacts[TUNED])
    writes = "generation" in recipe.model.SUPPORTS
    lines += [*(conversation(folders["evaluate.release"]) or beginnings(folders["evaluate.base"])), ""] if writes else []
    up = folio("up")
    facts = (
        took(artifacts, seconds),
        ("the model", str(folders["export"])),
        *((f"its {model_form(name)} form", form(folders["export"], name, artifacts)) for name in (v.name for v in recipe.release.variants)),
        ("the page", folio("open")),
        ("the report", f"{home() / 'reports' / f'{recipe.name}.html'}   (open it in a browser)"),
        ("of all runs", str(home() / "reports" / LIST)),
        ("Prefect", f"{servers.prefect_server().url}   ({up})"),
        ("MLflow", f"{servers.mlflow_page().page}   ({up})"),
        *([("talk to it", folio("chat", argument or recipe.name))] if writes else []),
    )
    return "\n".join([*lines, *(f"{name:14} {value}" for name, value in facts)])


def form(exported: Path, name: str, artifacts: dict[str, Artifact]) -> str:
    """Return the folder of a quantized form, or why there is none."""
    if (exported / name).is_dir():
        return str(exported / name)
    return f"not released: {artifacts[f'measure.{name}'].location} says how far it is from the model"


def took(artifacts: dict[str, Artifact], seconds: float) -> tuple[str, str]:
    """Say how long the flow took or, if it reused everything, how long its artifacts took to make."""
    began = (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()
    if all(artifact.origin.created < began for artifact in artifacts.values()):
        work = format_duration(total_cost(artifacts.values()).wall_seconds)
        return "the flow", f"reused everything, made in {work} of work; this took {seconds:.1f} s"
    return "the flow took", f"{format_duration(seconds)} ({seconds:.1f} s)"


def probes(measured: Artifact) -> list[str]:
    """Return the probabilities that the recipe asked to see, a line each."""
    found = [f"P {name.removeprefix('probe.')} = {value:.3f}" for name, value in measured.metrics.items() if name.startswith("probe.")]
    return [*found, ""] if found else []


def skills(before: Artifact, after: Artifact) -> list[str]:
    """Return what the model can do by skill, a line each; empty if no skill was measured."""
    rows = skill_rows(before.metrics, after.metrics)
    if not rows:
        return []
    cells = [SKILLS_HEADER, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(SKILLS_HEADER))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return ["What it can do, asked in wordings that no example had:", *(f"  {line}" for line in lines), ""]


def conversation(folder: Path, most: int = 4) -> list[str]:
    """Return answers to questions that no example held; empty if none was asked."""
    talks = [sample for sample in _samples(folder, "conversation") if sample["set"] == "heldout"][:most]
    turns = [f"  {message['role']:9} {printable(message['content'])}" for talk in talks for message in talk["messages"]]
    return ["A conversation with it, about what it was never asked before:", *turns] if turns else []


def beginnings(folder: Path, most: int = 4) -> list[str]:
    """Return texts that the base model wrote by itself."""
    texts = [f"  {printable(' '.join(sample['text'].split()))}" for sample in _samples(folder, "beginning")[:most]]
    return ["What the base model writes by itself:", *texts] if texts else ["No samples were drawn: evaluate.base.samples is 0."]


def _samples(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = (folder / "samples.jsonl").read_text(encoding="utf-8").split("\n")
    return [sample for sample in map(json.loads, filter(None, lines)) if sample["kind"] == kind]


def run_recipe(name: str, changes: tuple[str, ...], refresh: Sequence[str] = (), *, verify: bool = False) -> None:
    """Run a recipe, then print the gates, a sample conversation, and where everything is. `refresh`: stages or positions to run again."""
    again = stages_to_refresh(refresh, name, changes)
    recipe = load(name, changes)
    argument, approver = recipe_argument(name), asking(name, changes, recipe.resources.notify)
    options = RunOptions(refresh=again, verify=verify, argument=argument, approver=approver)
    try:
        artifacts, seconds = execute_recipe(recipe, options)
    except GateFailed as failed:
        made = options.runs[-1].artifacts if options.runs else {}
        advice = way_out(recipe, argument, failed.position, str(failed), made, changes)
        raise GateFailed(f"{failed}\n{advice}".rstrip(), failed.position) from None
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
    print(f"{recipe.name}: running; watch it at {server.url}", flush=True)
    started = time.monotonic()
    # Prefect's heartbeat would report a dead run after minutes, and its thread takes a second to stop; its follower reports it at once.
    with use_options(options), temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        try:
            with foreseen(recipe, options):
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
