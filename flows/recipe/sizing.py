"""Gather what the planner needs of a recipe: its training text, its own model, and the machine's speed; the same for `init` and `size`.

How many texts files hold, and how much text.

Names and sizes say it where a file's bytes are its text. Of formats that hide their text, such as PDF, a few files are read; where none of
them can be, and of files that hold many texts, it is a guess.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from data.sources.errors import Unreadable
from data.sources.formats import PACKED, RECORDS, type_from_name
from data.sources.readers.record import ReaderOptions, Record
from data.sources.readers.registry import SANDBOXED
from data.sources.sandbox.parser_sandbox import ParserSandbox
from flows.recipe.schema import Recipe
from model.adapters.config import AnyAdapter
from model.adapters.lora import LoraConfig
from model.adapters.qlora import QLoraConfig
from model.hardware.flops import training_flops
from model.networks.meta import count_parameters
from model.planning.machine import Machine
from model.planning.memory import worker_memory
from model.planning.proposal import Text, described_job, warm_up
from model.training.config import PretrainConfig
from model.training.job import Job
from model.training.resources import ParallelConfig
from model.training.train_config import TrainConfig

# Text in a file for each of its bytes, where that is far from 1 and no file was read.
TEXT_PER_BYTE = {"epub": 2.0, "html": 0.3, "pdf": 1.0, "parquet": 2.0, "warc": 0.1}
TEXT_PER_PACKED_BYTE = 3.0
BYTES_PER_RECORD = 4000
READ = SANDBOXED - RECORDS - {"md"}
FILES_READ = 3  # of a format
LARGEST_READ = 30 << 20  # bytes
BLANK_READ = 1 << 16  # characters at once


class TextAmount(NamedTuple):
    """The texts of a file: their number, and their size together in bytes."""

    texts: int
    bytes: int


def estimate_texts(files: Sequence[Path]) -> list[TextAmount]:
    """Return what each file holds. A few files are read, which takes some seconds where they are large."""
    ratios = {**TEXT_PER_BYTE, **_ratios(files)}
    return [_estimate(path, ratios) for path in files]


def _estimate(path: Path, ratios: dict[str, float]) -> TextAmount:
    kind = type_from_name(path.name)
    packed = kind.archive or path.suffix.lower() in PACKED
    size = round(path.stat().st_size * ratios.get(kind.format, 1.0) * (TEXT_PER_PACKED_BYTE if packed else 1.0))
    return TextAmount(max(1, size // BYTES_PER_RECORD) if kind.may_hold_many else 1, size)


def is_blank(path: Path) -> bool:
    """Return whether a file holds nothing but white space; False if its format hides its text, such as PDF. Reads up to the first word."""
    kind = type_from_name(path.name)
    if kind.archive or kind.format in READ | RECORDS or path.suffix.lower() in PACKED:
        return False
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as stream:
            return not any(part.strip() for part in iter(partial(stream.read, BLANK_READ), ""))
    except OSError:
        return False


def _ratios(files: Iterable[Path]) -> dict[str, float]:
    """Return the bytes of text for each byte of a format's files, from a few that could be read."""
    of_format: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        if (kind := type_from_name(path.name).format) in READ and path.suffix.lower() not in PACKED:
            of_format[kind].append(path)
    ratios = {}
    with closing(ParserSandbox()) as sandbox:
        for kind, paths in sorted(of_format.items()):
            sizes = sorted((size, path) for path in paths if 0 < (size := path.stat().st_size) <= LARGEST_READ)
            chosen = [sizes[number * len(sizes) // FILES_READ] for number in range(min(FILES_READ, len(sizes)))]
            read = {path: (size, _text_bytes(sandbox, kind, path)) for size, path in chosen}
            if text := sum(found for _, found in read.values()):
                ratios[kind] = text / sum(size for size, _ in read.values())
    return ratios


def _text_bytes(sandbox: ParserSandbox, kind: str, path: Path) -> int:
    """Return the bytes of a file's text; 0 where it can't be read."""
    try:
        found = sandbox.read(kind, path.read_bytes(), ReaderOptions(), None)
        return sum(len(record.text.encode("utf-8", "replace")) for record in found if isinstance(record, Record))
    except (Unreadable, OSError):
        return 0


ADAPTERS = (LoraConfig(kind="lora", rank=16, alpha=32), QLoraConfig(kind="qlora", rank=16, alpha=32))
"""What an open model is tuned by where nothing else is asked for, the first that fits."""
BY_KIND: Mapping[str, AnyAdapter] = {adapter.kind: adapter for adapter in ADAPTERS}
TRIAL_PARAMETERS = 20e6  # a larger model is timed with fewer of its layers
TRIAL_LAYERS = 2


def guessed_text(recipe: Recipe, size: float) -> Text:
    """Return the training text of a recipe whose sources hold `size` bytes, before anything was cleaned."""
    share = recipe.split.train if recipe.split.mode in ("fractions", "passages") else 1.0
    return Text(size * share, "guessed from the files, before any cleaning")


def present_job(recipe: Recipe, workers: int, offered: Collection[str] | None = None) -> Job:
    """Return the recipe's own model and pretraining on `workers` workers, the batch rounded up to divide among them.

    `offered`: the number types that a device multiplies in, which decide `precision: auto`; None: those of this machine.
    """
    training = recipe.resources.training
    parallel = ParallelConfig(**{**training.parallel.model_dump(), "workers": workers})
    resources = training.model_copy(update={"parallel": parallel})
    share = resources.parallel.data_workers
    batch = math.ceil(recipe.pretrain.global_batch / share) * share
    train = recipe.pretrain.resolved(offered).model_copy(update={"global_batch": batch})
    train = train.model_copy(update={"warmup_steps": warm_up(train, train.total_steps(recipe.model.context))})
    return described_job(recipe.model, recipe.tokenizer.vocab_size, train, resources)


def opened_job(recipe: Recipe, train: TrainConfig, length: int) -> Job:
    """Return a reading of `length` tokens a row, of all weights, in the batches and numbers of a training of the recipe's model."""
    fields = {name: getattr(train, name) for name in ("global_batch", "precision", "optimizer")}
    reading = PretrainConfig(steps=1, tokens=0, warmup_steps=0, **fields)
    job = described_job(recipe.model, recipe.tokenizer.vocab_size, reading, recipe.resources.training.for_training(train))
    return job.model_copy(update={"row_length": length})


def adapted_memory(job: Job, machine: Machine, adapters: Mapping[str, AnyAdapter] = BY_KIND) -> dict[str, int]:
    """Return the peak memory of a worker that trains the job's network by each adapter; bytes, by its kind.

    Raise AdapterError for one that the network has no place for, or whose package is not installed.
    """
    found = {}
    for kind, adapter in adapters.items():
        train = job.train.model_copy(update={"adapter": adapter})
        found[kind] = worker_memory(job.model_copy(update={"train": train}), accelerator=machine.accelerator).total
    return found


def with_measured_speed(machine: Machine, job: Job) -> Machine:
    """Return the machine with the utilization measured in a short trial of the job's shape."""
    from model.planning.trial import run_trial

    shape = job.network
    if count_parameters(shape, job.vocab_size) > TRIAL_PARAMETERS:
        shape = shape.model_copy(update={"layers": min(shape.layers, TRIAL_LAYERS)})
    batch = job.micro_batch * min(2, job.train.global_batch // job.resources.parallel.data_workers // job.micro_batch)
    train = job.train.model_copy(update={"global_batch": batch})
    trial = run_trial(job.model_copy(update={"network": shape, "train": train}))
    share = trial.tokens_per_second * training_flops(shape, job.vocab_size) / machine.peak
    source = f"measured: {trial.tokens_per_second:,.0f} tokens/s in a trial"
    if trial.beside_others:
        source += f"; other work took {trial.others:.1f} of {trial.processors:g} processors, and this is the speed without it"
    return replace(machine, utilization=share, utilization_source=source)
