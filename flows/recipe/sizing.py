"""What the planner is told of a recipe: its training text, its own model, and the machine's speed; the same for `init` and `size`."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace

from flows.recipe.schema import Recipe
from model.planning.machine import Machine
from model.planning.proposal import Text, described_job
from model.training.job import Job
from model.training.parallel.config import ParallelConfig

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
    return described_job(recipe.model, recipe.tokenizer.vocab_size, train, resources)


def with_measured_speed(machine: Machine, job: Job) -> Machine:
    """Return the machine with the utilization measured in a short trial of the job's shape."""
    from model.hardware.flops import training_flops
    from model.networks.meta import count_parameters
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
