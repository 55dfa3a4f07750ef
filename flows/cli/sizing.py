"""`folio size`: how big a model fits a recipe's corpus and a machine. Changes nothing.

Text is measured in the recipe's newest corpus in the store. If the recipe never ran, it is guessed from the sizes of its files;
cleaning and deduplication may take half of that.

Show `folio size` as text and tables, for someone who has never trained a model.
"""

from __future__ import annotations

import json
import math
import shlex
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data.sources.config import FilesSource, PackageSource
from data.sources.files import find_files
from data.universe.config import UniverseSource
from data.universe.write import write_universe
from flows.recipe.loading import load, recipe_argument
from flows.recipe.schema import Recipe
from flows.recipe.sizing import (
    BY_KIND,
    adapted_memory,
    estimate_texts,
    guessed_text,
    opened_job,
    present_job,
    with_measured_speed,
)
from model.adapters.config import AnyAdapter, FullConfig
from model.hardware.devices import find_device
from model.networks.meta import count_parameters
from model.planning.machine import Machine, machine_for
from model.planning.proposal import MIN_STEPS, Proposal, SizedJob, Text, propose
from model.planning.rules import bytes_per_token, gibibytes, short, speed
from model.training.resources import TrainResources
from model.training.train_config import TrainConfig
from tasks.lineage.graph import ProvenanceGraph
from tasks.reporting.wording import seconds, share
from tasks.reporting.wording import size as in_bytes
from tasks.stage.store.artifact import Artifact, Cost, without_shard
from tasks.stage.store.store import open_store
from tasks.stage.system.columns import columns, wrapped
from tasks.stage.system.command_line import folio

Price = Callable[[SizedJob], float | None]
WARNS = "  ! "
STAGES = ("nothing", "optimizer", "and gradients", "and weights")


def size_table(name: str, argument: str, found: Proposal, currency: str, price: Price, more: Sequence[str] = ()) -> str:
    """Return what there is, what is proposed and why, what it takes, and the warnings.

    `argument`: the recipe as the user named it; `more`: changes besides those of the pretraining.
    """
    lines = _lines(name, argument, found, currency, price, more)
    # Rows of tables and parts of the command are indented, and fit or stay whole.
    return "\n".join(line if line[:1] == " " and line[:4] != WARNS else "\n".join(wrapped(line, rest="    ")) for line in lines)


def _lines(name: str, argument: str, found: Proposal, currency: str, price: Price, more: Sequence[str]) -> Iterator[str]:
    text, machine = found.text, found.machine
    tokens = short(text.tokens(found.proposed.job.vocab_size))
    yield f"{name}: {in_bytes(text.bytes)} of text to learn from, about {tokens} tokens ({text.source})"
    devices = f"{machine.devices} x {machine.name}" if machine.accelerator else machine.name
    each = " each" if machine.accelerator else ""
    used = f"of which training uses {share(machine.utilization)} ({machine.utilization_source})"
    yield f"machine: {devices}, {speed(machine.peak)}{each} ({machine.peak_source}), {used}"
    # A size that was asked for, or the smallest for much text, may be more than the machine holds.
    title = "what would fit" if not found.proposed.lacking else "what the rules propose, which does not fit this machine"
    yield from ("", f"what the recipe has, and {title}")
    yield from _compared(found, "would fit" if not found.proposed.lacking else "too big")
    yield from ("", f"how long to train {title} ({found.reason})")
    yield from _lengths(found, currency, price)
    if price(found.proposed) is None:
        yield f"  to see the price: --set rates.{'gpu' if machine.accelerator else 'cpu'}_hour=PRICE"
    sequences = found.proposed.job.micro_batch
    room = f"micro-batches of {sequences} sequences; it has {gibibytes(machine.memory)}"
    yield from ("", f"memory of one of {machine.devices} workers, {room}" if machine.devices > 1 else f"memory of the one worker, {room}")
    yield from _memory(found)
    for plan_title, plan in (("the recipe as it is", found.present), (title, found.proposed)):
        yield from ("", plan_title + ":", *(f"{WARNS}{warning}" for warning in plan.warnings or ()))
        if not plan.warnings:
            yield "  no warnings"
    if found.proposed.lacking:
        yield from ("", "no command: it would run out of memory; give more or larger devices, fewer --params, or fewer --budget-hours")
        return
    yield from ("", "to run what would fit:", f"  {folio('run', argument)} \\")
    changes = [*_changes(found.proposed, found.present), *more]
    yield from (f"    --set {shlex.quote(change)}" + (" \\" if change != changes[-1] else "") for change in changes)
    if machine.accelerator and found.proposed.job.train.precision.PRODUCTS == "fp32":
        yield from ("", "in fp32 most of this device is idle; try: --set pretrain.precision=bf16")


def _compared(found: Proposal, title: str) -> list[str]:
    def row(plan: SizedJob) -> dict[str, str]:
        job, shape = plan.job, plan.job.network
        return {
            "parameters": short(plan.parameters),
            **({"of them a token uses": short(plan.active_parameters)} if shape.mixes_experts else {}),
            "vocabulary (tokens)": f"{job.vocab_size:,}",
            "width x layers": f"{shape.width} x {shape.layers}",
            **{key.replace("_", " "): f"{getattr(shape, key):,}" for key in shape.SIZES if key not in ("width", "layers")},
            "context (tokens)": f"{shape.context:,}",
            "tokens trained on": short(plan.tokens),
            "tokens a parameter (20 where text is plenty)": f"{plan.tokens_per_parameter:.1f}",
            "times through the text (4 are worth nearly 4)": f"{plan.epochs:.2g}",
            "sequences a batch": f"{job.train.global_batch:,}",
            "steps": f"{job.total_steps:,}",
            "learning rate": f"{job.train.learning_rate:g}",
            "time": seconds(plan.seconds),
        }

    present, proposed = row(found.present), row(found.proposed)
    return columns([("", "recipe", title), *((key, present[key], proposed[key]) for key in present)], frozenset({1, 2}), indent=2)


def _lengths(found: Proposal, currency: str, price: Price) -> list[str]:
    rows: list[tuple[str, ...]] = []
    for plan in found.alternatives:
        money = price(plan)
        cost = () if money is None else (f"{money:,.2f} {currency}",)
        rows.append(
            (
                f"{plan.tokens_per_parameter:.0f} a parameter",
                short(plan.tokens),
                f"{plan.epochs:.2g}",
                share(plan.repetition_value),
                f"{plan.job.total_steps:,}",
                seconds(plan.seconds),
                *cost,
                _verdict(plan, found),
            )
        )
    head = ("tokens", "in all", "passes", "as new text", "steps", "time", *(("cost",) if len(rows[0]) == 8 else ()), "")
    return columns([head, *rows], frozenset(range(1, len(head) - 1)), indent=2)


def _verdict(plan: SizedJob, found: Proposal) -> str:
    if plan is found.proposed:
        return "<- proposed"
    if plan.repetition_value < 0.8:
        return "repeats too much"
    return "cheaper, learns less" if plan.tokens < found.proposed.tokens else "dearer, learns more"


def _memory(found: Proposal) -> list[str]:
    parts = ("weights", "gradients", "optimizer", "checkpoint", "activations", "logits", "buffers", "framework")
    chosen = found.proposed.job.resources.parallel.zero_stage
    stages = found.proposed.memory
    rows = [(part, *(gibibytes(getattr(memory, part)) for memory in stages.values())) for part in parts]
    rows.append(("all", *(gibibytes(memory.total) for memory in stages.values())))
    rows.append(("", *("^ proposed" if stage == chosen else "" for stage in stages)))
    head = ("ZeRO stage, spreads", *(f"{stage} {STAGES[stage]}" for stage in stages))
    return columns([head, *rows], frozenset(range(1, 1 + len(stages))), indent=2)


def _changes(plan: SizedJob, present: SizedJob) -> list[str]:
    job, shape, before = plan.job, plan.job.network, present.job
    changes = [
        f"tokenizer.vocab_size={job.vocab_size}",
        *(f"model.{key}={getattr(shape, key)}" for key in shape.SIZES),
        f"pretrain.learning_rate={job.train.learning_rate:g}",
        f"pretrain.tokens={job.train.tokens}",
        f"pretrain.global_batch={job.train.global_batch}",
    ]
    if job.total_steps < MIN_STEPS:  # the recipe's own may be longer than so short a run
        changes.append(f"pretrain.warmup_steps={job.train.warmup_steps}")
    changes += [f"pretrain.{key}=0" for key in ("steps", "batch_warmup_steps", "batch_warmup_from") if getattr(before.train, key)]
    parallel = job.resources.parallel
    if parallel.workers > 1:
        changes += [f"resources.training.parallel.{key}={getattr(parallel, key)}" for key in ("workers", "zero_stage")]
    if job.resources.micro_batch != before.resources.micro_batch:
        changes.append(f"resources.training.micro_batch={job.resources.micro_batch}")
    return changes


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
    if recipe.model.counted:
        raise ValueError(
            f"model.kind={recipe.model.kind} has no size to choose: it is counted, and holds the runs of tokens that the text has"
        )
    if request.measure and request.device not in ("here", "cpu"):
        raise ValueError(f"--measure times the machine at hand and --device {request.device} is another; leave one of them out")
    if request.parameters and request.hours:
        raise ValueError(
            f"--params {request.parameters:g} decides the size, so --budget-hours {request.hours:g} would do nothing; leave one of them out"
        )
    offered = None if request.device in ("here", "cpu") else find_device(request.device).peaks
    if recipe.base is not None:
        return _opened_size(recipe, request, offered, as_json=as_json)
    workers = request.devices or recipe.resources.training.parallel.workers
    present = present_job(recipe, workers, offered)
    machine = machine_for(request.device, workers, present.train.precision.kind)
    text = corpus_text(recipe, request.text_bytes, recipe_argument(name))
    found = propose(text, machine, present, parameters=request.parameters, hours=request.hours)
    if request.measure:
        machine = with_measured_speed(machine, found.proposed.job)
        found = propose(text, machine, present, parameters=request.parameters, hours=request.hours)
    if as_json:
        return json.dumps(_as_data(recipe, found), indent=1)
    more = _divided_batches(recipe, found.proposed.job.resources)
    return size_table(
        recipe.name, recipe_argument(name), found, recipe.rates.currency, lambda plan: price(recipe, found.machine, plan.seconds), more
    )


def _opened_size(recipe: Recipe, request: SizeRequest, offered: Collection[str] | None, *, as_json: bool) -> str:
    """Return the memory that each training of an open model takes, with the recipe's adapter and with others.

    `offered`: as `present_job` takes it. Its size is the model's own: raise ValueError for options that choose a size or a time.
    """
    given = {
        "--params": request.parameters,
        "--budget-hours": request.hours,
        "--bytes": request.text_bytes,
        "--devices": request.devices,
        "--measure": request.measure,
    }
    if unread := [option for option, value in given.items() if value]:
        raise ValueError(
            f"{unread[0]} is for a size to choose, and {recipe.name} starts from a model that has one: leave it out, and the memory of one "
            "worker is said"
        )
    machine = machine_for(request.device, 1, recipe.pretrain.resolved(offered).precision.kind)
    pretraining = {"pretrain": recipe.pretrain} if recipe.takes_steps else {}
    steps: dict[str, TrainConfig] = {**pretraining, **{step.name: step for step in (*recipe.tuning, *recipe.adapters)}}
    rows: dict[str, dict[str, int]] = {}
    for name, step in steps.items():
        length = recipe.pack.sequence_length if step is recipe.pretrain else recipe.encode.sequence_length
        job = opened_job(recipe, step.resolved(offered), min(length, recipe.model.context))
        kinds: dict[str, AnyAdapter] = {"full": FullConfig(), **BY_KIND, step.adapter.kind: step.adapter}
        rows[name] = adapted_memory(job, machine, kinds)
    parameters = count_parameters(recipe.model, recipe.tokenizer.vocab_size)
    if as_json:
        found = {"recipe": recipe.name, "parameters": parameters, "machine": asdict(machine), "memory_bytes": rows}
        return json.dumps(found | {"adapters": {name: step.adapter.kind for name, step in steps.items()}}, indent=1)
    shown = list(dict.fromkeys(kind for row in rows.values() for kind in row))
    table = [("memory of a worker", *shown, "the recipe's")]
    for name, row in rows.items():
        table.append((name, *(gibibytes(row[kind]) if kind in row else "" for kind in shown), steps[name].adapter.kind))
    about = (
        f"{recipe.name}: starts from {recipe.base.title if recipe.base else ''}, {short(parameters)} parameters; there are "
        f"{gibibytes(machine.memory)} of memory ({machine.name})"
    )
    counted = "Counted on an update of the network without numbers, of rows of tokens; sampling, and pairs of rows, take more."
    return "\n".join([*wrapped(about), "", *columns(table, frozenset(range(1, 1 + len(shown))), indent=2), "", *wrapped(counted)])


def _divided_batches(recipe: Recipe, resources: TrainResources) -> list[str]:
    """Return the batches of tuning that have to grow so that each worker reads as many rows."""
    changes = []
    for step in recipe.tuning:
        workers = resources.for_training(step).parallel.data_workers
        if step.global_batch % workers:
            changes.append(f"{step.name}.global_batch={math.ceil(step.global_batch / workers) * workers}")
    return changes


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
            "active_parameters": plan.active_parameters,
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
