"""The end of a run: gates, probes, a conversation, and where everything is."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from flows.cli.views.diff_rendering import printable
from flows.recipe.schema import Recipe
from flows.services import servers
from flows.services.home import home
from tasks.reporting.wording import model_form
from tasks.stage.execution.run_context import open_store
from tasks.stage.store.artifact import Artifact
from tasks.stage.system.progress import format_duration


def summary(recipe: Recipe, artifacts: dict[str, Artifact], seconds: float) -> str:
    """Return what a person wants to know when a run has ended."""
    settings = recipe.run_settings()
    store = open_store(settings["store"], settings["root"], settings["home"])
    folders = {position: store.local(artifact) for position, artifact in artifacts.items()}
    lines = [""]
    for position in ("gate.base", "gate.chat", "gate.release"):
        lines += [position, (folders[position] / "verdict.txt").read_text(), ""]
    lines += probes(artifacts["evaluate.base"])
    writes = "generation" in recipe.model.SUPPORTS
    lines += [*(conversation(folders["evaluate.release"]) or beginnings(folders["evaluate.base"])), ""] if writes else []
    page, folio = home() / "reports" / f"{recipe.name}.html", command()
    rows = (
        ("the flow took", format_duration(seconds) + f" ({seconds:.1f} s)"),
        ("the model", str(folders["export"])),
        *((f"its {model_form(variant.name)} form", str(folders["export"] / variant.name)) for variant in recipe.release.variants),
        ("the report", f"{page}   (open it in a browser)"),
        ("Prefect", f"{servers.prefect_server().url}   ({folio} up)"),
        ("MLflow", f"{servers.mlflow_page().url}   ({folio} up)"),
        *([("talk to it", f"{folio} chat {recipe.name}")] if writes else []),
    )
    return "\n".join([*lines, *(f"{name:14} {value}" for name, value in rows)])


def probes(measured: Artifact) -> list[str]:
    """Return the probabilities that the recipe asked to see, a line each."""
    found = [f"P {name.removeprefix('probe.')} = {value:.3f}" for name, value in measured.metrics.items() if name.startswith("probe.")]
    return [*found, ""] if found else []


def command() -> str:
    """Return how this program was called, so that a person can call it again."""
    path = Path(sys.argv[0])
    return os.path.relpath(path) if path.name == "folio" else "folio"


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
    lines = (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    return [sample for sample in map(json.loads, lines) if sample["kind"] == kind]
