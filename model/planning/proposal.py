"""How big a model for this corpus on this machine: shapes, batches, memory, time, and what speaks against them.

Read a proposal as a first guess with its reasons. Its arithmetic is exact where it counts (parameters, operations, tensors), follows
published rules where it chooses (`rules.py`), and is a forecast where it speaks of seconds: within 30 % when the machine's speed was
measured by a trial, on data sheets and an assumed utilization otherwise no better than a factor of two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from model.hardware.flops import training_flops
from model.networks.config import DecoderConfig
from model.planning import rules
from model.planning.machine import Machine
from model.planning.memory import Memory, worker_memory
from model.training.config import PretrainConfig, TrainResources
from model.training.job import Job
from model.training.parallel.compatibility import WHOLE_MATRICES

FACTORS = (10, 20, 100)
LEAST_PARAMETERS = 100_000
LEAST_STEPS = 200
USABLE = 0.92  # of a device's memory: what is left is for what is not counted
# An accelerator waits for its orders: no block of a micro-batch goes through both passes in less. Stated, not measured.
LEAST_BLOCK_SECONDS = 0.0005
UNDERTRAINED, OVERTRAINED, MEMORIZES = 10, 200, 16


@dataclass(frozen=True)
class Text:
    """What there is to learn from: training text in bytes, once through, and how many bytes a token of its tokenizer is."""

    bytes: float
    bytes_a_token: float
    source: str

    @property
    def tokens(self) -> float:
        """Unique tokens to train on."""
        return self.bytes / self.bytes_a_token


@dataclass(frozen=True)
class Plan:
    """A job, and what it would come to. `seconds` of the whole machine; `memory` of one worker by ZeRO stage; `warnings` in words."""

    job: Job
    tokens: float
    passes: float
    flops: float
    seconds: float
    memory: Mapping[int, Memory]
    warnings: tuple[str, ...]

    @property
    def parameters(self) -> int:
        """Weights, embeddings included."""
        return self.job.decoder.parameters(self.job.vocab_size)

    @property
    def tokens_a_parameter(self) -> float:
        """20 is compute-optimal for text that is all new."""
        return self.tokens / self.parameters

    @property
    def worth(self) -> float:
        """The share of the tokens that new text of equal worth would have, 0 to 1."""
        return rules.worth_of(self.passes) / self.passes


@dataclass(frozen=True)
class Proposal:
    """What a recipe has, and what is proposed: the first choice and its neighbours with other numbers of tokens."""

    text: Text
    machine: Machine
    present: Plan
    proposed: Plan
    neighbours: tuple[Plan, ...]
    reason: str


def fitting_parameters(text: Text, machine: Machine, hours: float | None, context: int) -> tuple[float, str]:
    """How many parameters 20 tokens each can be had for, and what bounds them: the text read four times, or the hours."""
    by_text = rules.GOOD_PASSES * text.tokens / rules.TOKENS_A_PARAMETER
    words = f"{rules.TOKENS_A_PARAMETER} tokens for each parameter, from text read {rules.GOOD_PASSES} times"
    if hours is None:
        return max(LEAST_PARAMETERS, by_text), words
    # Six operations a weight and token; attention takes another part, about a fifth in small models, found by trying.
    by_hours = math.sqrt(hours * 3600 * machine.flops / (6 * rules.TOKENS_A_PARAMETER))
    if by_hours < by_text:
        return max(LEAST_PARAMETERS, by_hours * 0.9), f"{rules.TOKENS_A_PARAMETER} tokens for each parameter within {hours:g} hours"
    return max(LEAST_PARAMETERS, by_text), words


def propose(text: Text, machine: Machine, present: Job, *, parameters: float | None = None, hours: float | None = None) -> Proposal:
    """Sizes for a text and a machine; all that isn't size is kept as the job at hand has it."""
    wanted, reason = (parameters, "as asked") if parameters else fitting_parameters(text, machine, hours, present.decoder.context)
    width = rules.shape_for(wanted, 1024, present.decoder).width
    vocabulary = rules.vocabulary_for(text.bytes, wanted, width)
    shape = rules.shape_for(wanted, vocabulary, present.decoder)
    size = shape.parameters(vocabulary)
    plans = [plan(proposed_job(shape, vocabulary, factor * size, machine, present), text, machine) for factor in FACTORS]
    first = plans[FACTORS.index(rules.TOKENS_A_PARAMETER)]
    return Proposal(text, machine, plan(present, text, machine), first, tuple(plans), reason)


def proposed_job(
    shape: DecoderConfig,
    vocabulary: int,
    tokens: float,
    machine: Machine,
    like: Job,
) -> Job:
    """A job of that shape and length: batch and rate by the rules, the first ZeRO stage that fits, the largest micro-batch that does."""
    flops = tokens * training_flops(shape, vocabulary)
    workers = like.resources.parallel.data_workers
    stages = possible_stages(like)
    if workers > 1:
        stages = stages[1:] or stages  # where there are workers to spread the optimizer over, that costs no more than not doing so
    most = max(1.0, tokens / (shape.context * LEAST_STEPS))
    share = max(1, round(2 ** round(math.log2(max(1.0, min(most, rules.batch_tokens(flops) / shape.context) / workers)))))
    train = PretrainConfig(
        **{
            **like.train.model_dump(),
            "steps": 0,
            "batch_warmup_steps": 0,
            "batch_warmup_from": 0,
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
            job = _placed(job, stage, size)
            if worker_memory(job, accelerator=True).total <= USABLE * machine.memory:
                return job
            size //= 2
    return job


def described_job(shape: DecoderConfig, vocabulary: int, train: PretrainConfig, resources: TrainResources) -> Job:
    """A job that is only talked about: its paths lead nowhere."""
    nowhere = Path("/nonexistent")
    return Job(
        decoder=shape,
        vocab_size=vocabulary,
        train=train,
        resources=resources,
        tokenizer_digest="",
        train_shards=nowhere,
        output=nowhere,
        checkpoints=nowhere,
    )


def possible_stages(job: Job) -> tuple[int, ...]:
    """The ZeRO stages that work with the job's optimizer, tensor parallelism and pipeline."""
    parallel = job.resources.parallel
    if job.train.optimizer in WHOLE_MATRICES:
        return (0,)
    stages = (0, 1) if parallel.pipeline > 1 else (0, 1, 2, 3)
    return stages[1:] if parallel.tensor > 1 else stages


def _placed(job: Job, stage: int, micro_batch: int) -> Job:
    parallel = job.resources.parallel.model_copy(update={"zero_stage": stage})
    return job.model_copy(update={"resources": job.resources.model_copy(update={"parallel": parallel, "micro_batch": micro_batch})})


def plan(job: Job, text: Text, machine: Machine) -> Plan:
    """What a job comes to."""
    tokens = float(job.train.sequences_before(job.total_steps) * job.decoder.context)
    flops = tokens * training_flops(job.decoder, job.vocab_size)
    memory = {stage: worker_memory(_placed(job, stage, job.micro_batch), accelerator=machine.accelerator) for stage in possible_stages(job)}
    # Recomputing is a second forward pass: two of six operations more.
    seconds = flops * (4 / 3 if job.resources.recompute != "none" else 1) / machine.flops
    if machine.accelerator:
        blocks = job.decoder.layers * job.train.global_batch / job.resources.parallel.data_workers / job.micro_batch
        seconds = max(seconds, job.total_steps * blocks * LEAST_BLOCK_SECONDS)
    passes = tokens / text.tokens
    stage = job.resources.parallel.zero_stage
    warnings = [*warnings_of(job.decoder.parameters(job.vocab_size), tokens, text), *_crowded(memory, stage, machine)]
    return Plan(job, tokens, passes, flops, seconds, memory, tuple(warnings))


def warnings_of(parameters: int, tokens: float, text: Text) -> list[str]:
    """What speaks against a model of that size on that text: too big memorizes, too small underfits."""
    passes, each = tokens / text.tokens, tokens / parameters
    fits = rules.GOOD_PASSES * text.tokens / rules.TOKENS_A_PARAMETER
    said = []
    if parameters > 2 * fits:
        said.append(
            f"too big for the text: {short(parameters)} parameters want {short(rules.TOKENS_A_PARAMETER * parameters)} tokens and the text "
            f"read {rules.GOOD_PASSES} times gives {short(rules.GOOD_PASSES * text.tokens)}; given long enough it memorizes"
        )
    if passes > rules.GOOD_PASSES * 1.05:
        ends = "it memorizes" if passes > MEMORIZES else "it begins to memorize"
        said.append(f"reads the text {passes:.0f} times: after {rules.GOOD_PASSES} passes repeating is worth less and less, and {ends}")
    if each < UNDERTRAINED * 0.95:
        said.append(
            f"undertrained: {each:.1f} tokens a parameter where {rules.TOKENS_A_PARAMETER} are due; "
            "a smaller model would learn more in that time"
        )
    if parameters < text.tokens / OVERTRAINED or each > OVERTRAINED * 1.05:
        said.append(
            f"too small: {short(parameters)} parameters for {short(max(text.tokens, tokens))} tokens underfit; "
            "a larger model would learn more from this text"
        )
    return said


def _crowded(memory: Mapping[int, Memory], stage: int, machine: Machine) -> list[str]:
    if memory[stage].total <= USABLE * machine.memory:
        return []
    fits = next((other for other, needed in memory.items() if needed.total <= USABLE * machine.memory), None)
    way = f"ZeRO {fits} fits" if fits is not None else "take more devices, a smaller micro-batch, or recompute activations"
    return [f"does not fit: a worker needs {gigabytes(memory[stage].total)} and has {gigabytes(machine.memory)}; {way}"]


def short(number: float) -> str:
    """`1234567` -> `1.23 M`."""
    for scale, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= scale:
            return f"{number / scale:.3g} {unit}"
    return f"{number:.3g}"


def speed(flops: float) -> str:
    """Operations a second: `174e9` -> `174 GFLOP/s`."""
    for scale, unit in ((1e15, "P"), (1e12, "T"), (1e9, "G")):
        if flops >= scale:
            return f"{flops / scale:.4g} {unit}FLOP/s"
    return f"{flops / 1e6:.3g} MFLOP/s"


def gigabytes(size: float) -> str:
    """Bytes in binary units, as memory is sold."""
    return f"{size / 2**30:.3g} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
