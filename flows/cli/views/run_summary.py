"""The end of a run: gates, how good the model is, probes, a conversation, and where everything is."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import wrap
from typing import Any

from flows.cli.views.diff_rendering import printable
from flows.recipe.schema import Recipe
from flows.services import servers
from flows.services.home import home
from tasks.reporting.archive import LIST
from tasks.reporting.compared.standing import TUNED, previous_metrics, standing_of
from tasks.reporting.gates import HEADER, gate_text
from tasks.reporting.tuning.skills import HEADER as SKILLS_HEADER
from tasks.reporting.tuning.skills import skill_rows
from tasks.reporting.wording import model_form
from tasks.stage.execution.run_context import open_store
from tasks.stage.store.artifact import Artifact
from tasks.stage.system.command_line import folio
from tasks.stage.system.progress import format_duration
from tasks.stage.tracking.cost import total_cost


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
    lines += [*("\n  ".join(wrap(f"- {said}", 110)) for said in (*standing.sentences(), *standing.since())), ""]
    lines += probes(artifacts["evaluate.base"])
    lines += skills(artifacts["evaluate.base"], artifacts[TUNED])
    writes = "generation" in recipe.model.SUPPORTS
    lines += [*(conversation(folders["evaluate.release"]) or beginnings(folders["evaluate.base"])), ""] if writes else []
    up = folio("up")
    facts = (
        took(artifacts, seconds),
        ("the model", str(folders["export"])),
        *((f"its {model_form(name)} form", form(folders["export"], name, artifacts)) for name in (v.name for v in recipe.release.variants)),
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
