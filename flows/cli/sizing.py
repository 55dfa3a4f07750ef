"""`folio size`: how big a model fits a recipe's corpus and a machine. Changes nothing.

Text is measured in the recipe's newest corpus in the store. If the recipe never ran, it is guessed from the sizes of its files;
cleaning and deduplication may take half of that.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data.sources.config import FilesSource, PackageSource
from data.sources.files import find_files
from data.universe.config import UniverseSource
from flows.cli.views.size_table import size_table
from flows.recipe.loading import load, recipe_argument
from flows.recipe.schema import Recipe
from flows.recipe.sizing import guessed_text, present_job, with_measured_speed
from flows.recipe.text_amount import estimate_texts
from model.hardware.devices import find_device
from model.planning.machine import Machine, machine_for
from model.planning.proposal import Proposal, SizedJob, Text, propose
from model.planning.rules import bytes_per_token
from tasks.lineage.graph import ProvenanceGraph
from tasks.stage.execution.run_context import open_store
from tasks.stage.store.artifact import Artifact, Cost, without_shard
from tasks.stage.system.command_line import folio


@dataclass(frozen=True)
class SizeRequest:
    """The options of `folio size`."""

    device: str = "here"
    devices: int = 0
    hours: float | None = None
    parameters: float | None = None
    text_bytes: float | None = None
    measure: bool = False


def size_recipe(name: str, changes: tuple[str, ...], request: SizeRequest, *, as_json: bool = False) -> str:
    """Return the proposal as text or JSON.

    Raises RecipeError for a wrong recipe, ValueError for an unknown device, LookupError if nothing says how much text there is.
    """
    recipe = load(name, changes)
    if request.measure and request.device not in ("here", "cpu"):
        raise ValueError(f"--measure times the machine at hand and --device {request.device} is another; leave one of them out")
    if request.parameters and request.hours:
        raise ValueError(
            f"--params {request.parameters:g} decides the size, so --budget-hours {request.hours:g} would do nothing; leave one of them out"
        )
    workers = request.devices or recipe.resources.training.parallel.workers
    offered = None if request.device in ("here", "cpu") else find_device(request.device).peaks
    present = present_job(recipe, workers, offered)
    machine = machine_for(request.device, workers, present.train.precision.kind)
    text = corpus_text(recipe, request.text_bytes, recipe_argument(name))
    found = propose(text, machine, present, parameters=request.parameters, hours=request.hours)
    if request.measure:
        machine = with_measured_speed(machine, found.proposed.job)
        found = propose(text, machine, present, parameters=request.parameters, hours=request.hours)
    if as_json:
        return json.dumps(_as_data(recipe, found), indent=1)
    return size_table(
        recipe.name, recipe_argument(name), found, recipe.rates.currency, lambda plan: price(recipe, found.machine, plan.seconds)
    )


def corpus_text(recipe: Recipe, given: float | None, argument: str) -> Text:
    """Return the training text: given, from the newest run, or guessed from the files. Raises LookupError if there are none.

    `argument`: what names the recipe in a command.
    """
    if given is not None:
        return Text(given, "as given")
    settings = recipe.run_settings()
    graph = ProvenanceGraph.load(open_store(settings["store"], settings["root"], settings["home"]))
    if (measured := _measured(graph, recipe.name)) is not None:
        return measured
    size = sum(_estimate_source(source, recipe, settings["home"]) for source in recipe.ingest.sources)
    if not size:
        raise LookupError(
            f"{recipe.name} has not run yet and its sources are not on this machine, so the amount of text is unknown. "
            f"Give it with --bytes, or run the recipe first: {folio('run', argument)}"
        )
    return guessed_text(recipe, size)


def _measured(graph: ProvenanceGraph, label: str) -> Text | None:
    """Return the training text in the shards of the newest corpus that was audited; None if there is none, or a record is gone."""
    audited = next((artifact for artifact in graph.newest_first if artifact.stage == "audit" and artifact.label == label), None)
    inputs = audited.inputs.items() if audited else ()
    splits = [graph.by_address.get(source.address) for name, source in inputs if without_shard(name) == "splits"]
    known = [split.metrics["characters_train"] for split in splits if split is not None]
    if audited is None or not known or len(known) < len(splits):
        return None
    return Text(sum(known), f"the training part of the corpus of {audited.name}", _density(graph, label))


def _density(graph: ProvenanceGraph, label: str) -> float:
    """Return how much of the text a token holds, compared with English prose, by the newest tokenizer; 1 if there is none."""
    fitted: Artifact | None = next((a for a in graph.newest_first if a.stage == "tokenizer" and a.label == label), None)
    if fitted is None or "bytes_per_token" not in fitted.metrics:
        return 1.0
    return fitted.metrics["bytes_per_token"] / bytes_per_token(int(fitted.metrics["vocab_size"]))


def _estimate_source(source: object, recipe: Recipe, home: Path) -> float:
    if isinstance(source, FilesSource):
        return float(sum(amount.bytes for amount in estimate_texts(list(find_files(source, Path(recipe.root)).values()))))
    if isinstance(source, PackageSource):
        fetched = sorted((home / "cache").glob(f"{source.package}-{source.version}.*"))
        return float(sum(amount.bytes for amount in estimate_texts(fetched[:1])))
    if isinstance(source, UniverseSource):
        from data.universe.write import write_universe

        with tempfile.TemporaryDirectory(prefix="folio-size-") as folder:
            write_universe(Path(folder), source)
            return float(sum(path.stat().st_size for path in Path(folder).rglob("*.txt")))
    return 0.0


def price(recipe: Recipe, machine: Machine, seconds: float) -> float | None:
    """Return what `seconds` of training cost at the recipe's rates; None if it has none."""
    if machine.accelerator:
        return recipe.rates.price(Cost(gpu_seconds=seconds * machine.devices))
    return recipe.rates.price(Cost(cpu_seconds=seconds * recipe.resources.cores))


def _as_data(recipe: Recipe, found: Proposal) -> dict[str, Any]:
    def row(plan: SizedJob) -> dict[str, Any]:
        job = plan.job
        return {
            "vocab_size": job.vocab_size,
            "model": job.network.model_dump(mode="json"),
            "parameters": plan.parameters,
            "tokens": plan.tokens,
            "tokens_a_parameter": plan.tokens_per_parameter,
            "passes": plan.epochs,
            "worth": plan.repetition_value,
            "steps": job.total_steps,
            "global_batch": job.train.global_batch,
            "micro_batch": job.micro_batch,
            "learning_rate": job.train.learning_rate,
            "zero_stage": job.resources.parallel.zero_stage,
            "flops": plan.flops,
            "seconds": plan.seconds,
            "price": price(recipe, found.machine, plan.seconds),
            "memory_bytes": {stage: asdict(memory) | {"total": memory.total} for stage, memory in plan.memory.items()},
            "warnings": list(plan.warnings),
        }

    return {
        "recipe": recipe.name,
        "text": asdict(found.text) | {"tokens": found.text.tokens(found.proposed.job.vocab_size)},
        "machine": asdict(found.machine),
        "currency": recipe.rates.currency,
        "reason": found.reason,
        "present": row(found.present),
        "proposed": row(found.proposed),
        "neighbours": [row(plan) for plan in found.alternatives],
    }
