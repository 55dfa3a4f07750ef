"""Propose a model for a corpus and a machine: shape, batch, memory, time, and warnings.

A proposal is a first guess with its reasons. Counts (parameters, operations, tensors) are exact; choices follow published rules
(`rules.py`); seconds are a forecast, within 30 % if a trial measured the machine's speed, and within a factor of two if it rests on data
sheets and an assumed utilization."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from model.hardware.flops import training_flops
from model.networks.config import NetworkConfig
from model.networks.meta import active_parameters, count_parameters
from model.planning import rules
from model.planning.machine import Machine
from model.planning.memory import Memory, worker_memory
from model.planning.rules import MIN_PARAMETERS, Budget, fitting, gibibytes, short
from model.training.config import ObjectiveConfig, TrainResources
from model.training.job import Job

FACTORS = (0.5, 1, 5)  # lengths beside the proposed one
MIN_STEPS = 1000  # batches are small where text is scarce: more updates from as many tokens
USABLE = 0.92  # share of a device's memory; the rest is for what is not counted
# Kernel launches: one block of a micro-batch takes at least this long for both passes on an accelerator. An assumption, not measured.
MIN_BLOCK_SECONDS = 0.0005
UNDERTRAINED, OVERTRAINED, MEMORIZES = 10, 200, 16


@dataclass(frozen=True)
class Text:
    """The training text. `density`: bytes in one of its tokens compared with English prose, by a tokenizer that was fitted to it."""

    bytes: float
    source: str
    density: float = 1.0

    def tokens(self, vocab_size: int) -> float:
        """Return its number of tokens with a vocabulary of that size."""
        return self.bytes / (self.density * rules.bytes_per_token(vocab_size))


@dataclass(frozen=True)
class SizedJob:
    """A job and its estimated cost. `seconds`: of the whole machine; `memory`: of one worker, by ZeRO stage; `usable`: what it has."""

    job: Job
    tokens: float
    epochs: float
    flops: float
    seconds: float
    memory: Mapping[int, Memory]
    warnings: tuple[str, ...]
    usable: float

    @property
    def parameters(self) -> int:
        """Number of weights, embeddings included."""
        return count_parameters(self.job.network, self.job.vocab_size)

    @property
    def active_parameters(self) -> int:
        """Number of weights that a token is computed with."""
        return active_parameters(self.job.network, self.job.vocab_size)

    @property
    def lacking(self) -> int:
        """Bytes that a worker has too little; 0: it fits."""
        return max(0, round(self.memory[self.job.resources.parallel.zero_stage].total - self.usable))

    @property
    def tokens_per_parameter(self) -> float:
        """Trained tokens per parameter; 20 is compute-optimal for text that is all new."""
        return self.tokens / self.parameters

    @property
    def repetition_value(self) -> float:
        """How much a trained token is worth compared with one of new text, 0 to 1."""
        return rules.effective_epochs(self.epochs) / self.epochs


@dataclass(frozen=True)
class Proposal:
    """The present job, the proposed one, and alternatives of the same shape with fewer or more tokens."""

    text: Text
    machine: Machine
    present: SizedJob
    proposed: SizedJob
    alternatives: tuple[SizedJob, ...]
    reason: str


def propose(text: Text, machine: Machine, present: Job, *, parameters: float | None = None, hours: float | None = None) -> Proposal:
    """Propose sizes for a text and a machine; everything that is not a size stays as in the present job."""
    budget = fitting(text.tokens(rules.vocabulary_of(text.bytes)), machine, hours)
    if parameters:
        budget = Budget(parameters, min(budget.tokens, rules.TOKENS_PER_PARAMETER * parameters), "as asked")
    width = rules.shape_for(budget.parameters, 1024, present.network).width
    vocabulary = rules.vocabulary_for(text.bytes, budget.parameters, width)
    shape = rules.shape_for(budget.parameters, vocabulary, present.network)
    # A shape comes only near to the wanted size, and a run that is to end in time has to be shorter by as much as it is larger.
    tokens = budget.tokens * min(1.0, budget.parameters / count_parameters(shape, vocabulary))
    # More passes than the text is worth are no alternative.
    most = max(tokens, rules.MOST_EPOCHS * text.tokens(vocabulary))
    lengths = [factor * tokens for factor in FACTORS if factor * tokens <= most]
    candidates = [estimate(proposed_job(shape, vocabulary, length, machine, present), text, machine) for length in lengths]
    return Proposal(text, machine, estimate(present, text, machine), candidates[FACTORS.index(1)], tuple(candidates), budget.reason)


def proposed_job(
    shape: NetworkConfig,
    vocabulary: int,
    tokens: float,
    machine: Machine,
    like: Job,
) -> Job:
    """Return a job of that shape and length: batch and learning rate by the rules, first ZeRO stage and largest micro-batch that fit."""
    flops = tokens * training_flops(shape, vocabulary)
    workers = like.resources.parallel.data_workers
    stages = possible_stages(like)
    if workers > 1:
        stages = stages[1:] or stages  # with several workers, stage 1 costs no more than stage 0
    most = max(1.0, tokens / (shape.context * MIN_STEPS))
    share = max(1, round(2 ** round(math.log2(max(1.0, min(most, rules.batch_tokens(flops) / shape.context) / workers)))))
    train = type(like.train).model_validate(
        {
            **like.train.model_dump(),
            "steps": 0,
            "batch_warmup_steps": 0,
            "batch_warmup_from": 0,
            "warmup_steps": warm_up(like.train, math.ceil(round(tokens) / (share * workers * shape.context))),
            "tokens": round(tokens),
            "global_batch": share * workers,
            "learning_rate": float(f"{rules.learning_rate(flops):.2g}"),
        }
    )
    parallel = {**like.resources.parallel.model_dump(), "zero_stage": stages[0]}
    job = described_job(shape, vocabulary, train, TrainResources(**{**like.resources.model_dump(), "parallel": parallel, "micro_batch": 0}))
    if not machine.accelerator:
        return job
    for stage in stages:
        size = share
        while size:
            job = _with_layout(job, stage, size)
            if worker_memory(job, accelerator=True).total <= USABLE * machine.memory:
                return job
            size //= 2
    return job


def warm_up(train: ObjectiveConfig, steps: int) -> int:
    """Return a run's steps of warm-up: its own, or a tenth of all where its own take more than half."""
    return train.warmup_steps if train.warmup_steps <= steps / 2 else steps // 10


def described_job(shape: NetworkConfig, vocabulary: int, train: ObjectiveConfig, resources: TrainResources) -> Job:
    """Return a job that is only described, never run: its paths do not exist."""
    nowhere = Path("/nonexistent")
    return Job(
        network=shape,
        vocab_size=vocabulary,
        train=train,
        resources=resources,
        tokenizer_digest="",
        train_shards=nowhere,
        val_shards=nowhere,
        output=nowhere,
        checkpoints=nowhere,
    )


def possible_stages(job: Job) -> tuple[int, ...]:
    """The ZeRO stages that work with the job's optimizer, tensor parallelism and pipeline."""
    parallel = job.resources.parallel
    if "zero" in job.train.optimizer.NEEDS_WHOLE:
        return (0,)
    stages = (0, 1) if parallel.pipeline > 1 else (0, 1, 2, 3)
    return stages[1:] if parallel.tensor > 1 else stages


def _with_layout(job: Job, stage: int, micro_batch: int) -> Job:
    parallel = job.resources.parallel.model_copy(update={"zero_stage": stage})
    return job.model_copy(update={"resources": job.resources.model_copy(update={"parallel": parallel, "micro_batch": micro_batch})})


def estimate(job: Job, text: Text, machine: Machine) -> SizedJob:
    """Estimate what a job costs."""
    tokens = float(job.train.sequences_before(job.total_steps) * job.length)
    flops = tokens * training_flops(job.counted_network, job.vocab_size)
    memory = {
        stage: worker_memory(_with_layout(job, stage, job.micro_batch), accelerator=machine.accelerator) for stage in possible_stages(job)
    }
    # Recomputing is a second forward pass: two more operations per six.
    seconds = flops * (4 / 3 if job.resources.recompute != "none" else 1) / machine.flops
    if machine.accelerator:
        blocks = job.network.layers * job.train.global_batch / job.resources.parallel.data_workers / job.micro_batch
        seconds = max(seconds, job.total_steps * blocks * MIN_BLOCK_SECONDS)
    different = text.tokens(job.vocab_size)
    stage = job.resources.parallel.zero_stage
    warnings = [
        *warnings_of(count_parameters(job.network, job.vocab_size), tokens, different),
        *_step_warnings(job),
        *_memory_warnings(memory, stage, machine),
    ]
    return SizedJob(job, tokens, tokens / different, flops, seconds, memory, tuple(warnings), USABLE * machine.memory)


def warnings_of(parameters: int, tokens: float, different: float) -> list[str]:
    """Return what speaks against a model of that size, trained on `tokens` of `different` ones: too big memorizes, too small underfits."""
    epochs, each = tokens / different, tokens / parameters
    largest = max(MIN_PARAMETERS, rules.largest_for(different))
    warnings = []
    if parameters > 2 * largest:
        warnings.append(
            f"too big for the text: more than {short(largest)} parameters gain little from {short(different)} tokens of different text; "
            f"{short(parameters)}, trained for long, memorize it"
        )
    if epochs > rules.MOST_EPOCHS * 1.25:
        ends = "it memorizes" if epochs > MEMORIZES else "it begins to memorize"
        warnings.append(
            f"reads the text {epochs:,.0f} times: after {rules.GOOD_EPOCHS} epochs repeating is worth less and less, and {ends}"
        )
    undertrained = each < UNDERTRAINED * 0.95 and epochs < rules.GOOD_EPOCHS * 0.7
    if undertrained:
        warnings.append(
            f"undertrained: {each:.1f} tokens per parameter instead of {rules.TOKENS_PER_PARAMETER}; "
            "a smaller model would learn more in that time"
        )
    # Never beside advice to make it smaller: a run too short for its model is so whatever the text, and one too big for it gains nothing.
    if not undertrained and parameters <= 2 * largest and (parameters < different / OVERTRAINED or each > OVERTRAINED * 1.05):
        warnings.append(
            f"too small: {short(parameters)} parameters for {short(max(different, tokens))} tokens underfit; "
            "a larger model would learn more from this text"
        )
    return warnings


def _step_warnings(job: Job) -> list[str]:
    workers = job.resources.parallel.data_workers
    if workers == 1 or job.train.global_batch > workers or job.total_steps >= MIN_STEPS / 2:
        return []
    rows = min(job.train.tokens / job.length or math.inf, workers * job.total_steps)
    steps, most = "1 step teaches" if job.total_steps == 1 else f"{job.total_steps:,} steps teach", max(1, int(rows // MIN_STEPS))
    return [f"{steps} little: each of {workers:,} workers reads a row at once; use {most:,} or fewer"]


def _memory_warnings(memory: Mapping[int, Memory], stage: int, machine: Machine) -> list[str]:
    if memory[stage].total <= USABLE * machine.memory:
        return []
    fits = next((other for other, needed in memory.items() if needed.total <= USABLE * machine.memory), None)
    remedy = f"ZeRO {fits} fits" if fits is not None else "use more devices, a smaller micro-batch, or recompute activations"
    return [f"does not fit: a worker needs {gibibytes(memory[stage].total)} and has {gibibytes(machine.memory)}; {remedy}"]


# folio's own runs on English text: bits per byte on what was held out, by bytes of different text. From them a power law.
LARGE_BYTES, LARGE_BITS = 21e6, 1.83
EXPONENT = 0.035
BETTER, WORSE = 0.3, 0.35  # parts of one book, or one author's novels, are easy to predict, verse of several centuries is hard
BASIS = (
    "from runs on English text: 1.83 on 21 MB of mixed books, 1.53 on 2.3 MB of one author's novels, 1.88 on 0.5 MB of essays, "
    "1.54 on 0.4 MB of notes cut from essays"
)
LEAST_BYTES = 100_000
"""A fifth of the least text that was tried: nothing is promised of less."""
# Eldan and Li 2023, "TinyStories": below about ten million parameters and some hundred million tokens, even of simple stories, models lose
# the thread of a conversation.
CHAT_PARAMETERS, CHAT_TOKENS = 1e7, 2e8


def expected_bits_per_byte(text: Text, epochs: float) -> tuple[float, float]:
    """Return the range of bits per byte on unseen text of the kind, for a model of the planner's size that reads it `epochs` times."""
    different = max(1.0, min(text.bytes, epochs * text.bytes))
    middle = LARGE_BITS * (LARGE_BYTES / different) ** EXPONENT
    return middle * (1 - BETTER), min(8.0, middle * (1 + WORSE))


def may_converse(parameters: float, tokens: float) -> bool:
    """Return whether a model and `tokens` of different text are enough that tuning it to converse can be worth the time."""
    return parameters >= CHAT_PARAMETERS and tokens >= CHAT_TOKENS
