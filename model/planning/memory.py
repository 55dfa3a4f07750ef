"""The peak memory of one worker by purpose, estimated from shape, batch, optimizer and ZeRO stage.

Weights, gradients and optimizer state are fp32 in every precision of the trainer: 16 bytes per parameter for AdamW. ZeRO (Rajbhandari et
al. 2020) partitions them over the workers: in stage 1 the optimizer state, in 2 also gradients, in 3 also weights. Added to these are what
DeepSpeed 0.19 was seen to hold besides (a flat copy of gradients, a master copy of weights in stages 1 and 2, gathered weights in stage 3),
the activations that the network saves for the backward pass, what an update holds while it is made, a checkpoint on its way to disk, and
the process itself. `python -m tests.benchmarks.planned_memory` compares it with training processes on a CPU; it is within 10 % of the
tensors of a step at 124 million and a billion parameters, counted without numbers. Offloaded memory is not counted.

Measure on the network itself what a training row keeps in memory for its backward pass.

A forward pass over fake tensors (`model/networks/meta.py`) shows every tensor that autograd saves; each storage counts once, the parameters
not at all. Growth from one row to two is a row's share; the rest, such as rounded copies of weights, does not belong to rows.

The memory that each micro-batch would take on an accelerator, for the workers to choose from.

A worker knows how much memory its card has free, but not what a micro-batch needs; the job tells it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor, UntypedStorage, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException
from torch.autograd.graph import saved_tensors_hooks

from model.hardware.devices import GIB
from model.networks.base import NetworkBase
from model.networks.meta import example_inputs, fake_network, parameters_by_role
from model.networks.network import Role
from model.objectives.chunked import chunk_rows
from model.planning.adapted import adapted_update
from model.training.job import Job
from model.training.precision import autocast

Rounding = Literal["none", "bf16", "fp16"]
OUTSIDE, INPUT = -1, -2  # in place of a block's number: what is outside all blocks (embeddings, the last norm, the head); a block's input


@dataclass(frozen=True)
class RowActivations:
    """Bytes that one row keeps for the backward pass: outside of all blocks, in each block, and of the input of one block."""

    outside: int
    blocks: tuple[int, ...]
    block_input: int

    def kept(self, consecutive: int, *, recompute: bool) -> int:
        """Return the most that so many consecutive blocks keep until their backward pass; `recompute`: each its input alone."""
        if recompute:
            return consecutive * self.block_input
        return max(sum(self.blocks[first : first + consecutive]) for first in range(0, len(self.blocks), consecutive))


@lru_cache(maxsize=256)
def row_activations(config: NetworkBase, vocab_size: int, rounding: Rounding, *, packed: bool) -> RowActivations:
    """Measure a row of `context` tokens under autocast to the type of `rounding`; `packed`: it holds several documents.

    bf16 takes the kernels that a CPU takes; fp16, whose numbers are as large, those of an accelerator.
    """
    shallow = config.shallow
    try:
        one, two = (_saved(shallow, vocab_size, rows, rounding, packed) for rows in (1, 2))
    except (DataDependentOutputException, DynamicOutputShapeException):
        if not packed:
            raise
        # Activations depend on where documents end, so measure a row of a single document.
        return row_activations(config, vocab_size, rounding, packed=False)
    each = {part: two[part] - one[part] for part in two}
    blocks = [each[number] for number in range(shallow.layers * shallow.stacks)]
    # The last blocks represent the others: the first may save what all of them share.
    blocks += blocks[-config.period * config.stacks :] * ((config.layers - shallow.layers) // config.period)
    return RowActivations(each[OUTSIDE], tuple(blocks), each[INPUT])


def _saved(config: NetworkBase, vocab_size: int, rows: int, rounding: Rounding, packed: bool) -> Counter[int]:
    """Return the bytes that a forward pass saves, by block number, and the bytes of a block's input."""
    sizes, seen, where = Counter[int](), dict[int, UntypedStorage](), OUTSIDE
    with fake_network(config, vocab_size) as network:
        weights = {parameter.untyped_storage()._cdata for parameter in network.train().parameters()}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage._cdata not in weights and storage._cdata not in seen:
                seen[storage._cdata] = storage  # kept alive, so its address is not reused
                sizes[where] += storage.nbytes()
            return tensor

        def enter(number: int) -> Callable[[nn.Module, tuple[Any, ...]], None]:
            def hook(block: nn.Module, inputs: tuple[Any, ...]) -> None:
                nonlocal where
                where, sizes[INPUT] = number, max(sizes[INPUT], inputs[0].nbytes)

            return hook

        def leave(*_: Any) -> None:
            nonlocal where
            where = OUTSIDE

        for number, block in enumerate(network.blocks()):
            block.register_forward_pre_hook(enter(number))
            block.register_forward_hook(leave)
        inputs = example_inputs(config, rows, config.context)
        if packed:
            inputs["documents"] = inputs["tokens"]
        with saved_tensors_hooks(keep, lambda tensor: tensor), autocast("cpu", rounding):
            for x_BTD in network.ahead(inputs):
                network.read(x_BTD)
    return sizes


FP32 = 4
BUCKET = 500_000_000  # DeepSpeed's reduce_bucket_size, numbers
GATHERED = 1_000_000_000  # DeepSpeed's stage3_max_live_parameters, numbers
# Measured on Linux with torch 2.13 and DeepSpeed 0.19: interpreter and libraries; then what a training loads, without and with ZeRO.
CPU_PROCESS = 270_000_000
CPU_ENGINE = {False: 165_000_000, True: 221_000_000}
# A CUDA context with NCCL's buffers and cuBLAS's workspaces: an assumption, not measured.
GPU_PROCESS = round(1.5 * GIB)
# Blocks that malloc holds after they are freed: 29 to 49 % of the tensors in eight CPU runs. The CUDA allocator wastes less; an assumption.
CPU_SLACK, GPU_SLACK = 0.33, 0.05
ADAPTED_LIBRARIES = 208_000_000  # what peft's imports take, measured; bytes
MAPPED = 32 << 20  # bytes; glibc gives a block of this size back to the system as soon as it is freed


@dataclass(frozen=True)
class Memory:
    """Bytes of one worker by purpose. `checkpoint`: the copy that is written to disk while training goes on."""

    weights: int
    gradients: int
    optimizer: int
    checkpoint: int
    activations: int
    logits: int
    buffers: int
    framework: int

    @property
    def total(self) -> int:
        """The sum of all purposes."""
        return sum(asdict(self).values())


def worker_memory(job: Job, *, accelerator: bool, framework: int | None = None) -> Memory:
    """Estimate the memory of each worker while it pretrains; in a pipeline, of the stage that needs most.

    `framework`: measured memory of the process before a model is created, in bytes; None: assumed.
    """
    parallel, train = job.resources.parallel, job.train
    stage = parallel.zero_stage
    if train.adapter.KEEPS_BASE:
        return _adapted_memory(job, accelerator, framework)
    roles = parameters_by_role(job.network, job.vocab_size)
    whole = FP32 * -(-sum(roles.values()) // parallel.pipeline)
    part = -(-whole // parallel.data_workers)
    weights = part if stage == 3 else whole
    gradients = part if stage >= 2 else whole
    copies = train.optimizer.STATE + (1 if train.ema_decay else 0)
    optimizer = copies * (part if stage else whole) + (part if stage else 0)
    spared = (train.optimizer.STATE - train.optimizer.matrix_state) * FP32 * roles["matrix"] // parallel.pipeline
    optimizer -= spared // parallel.data_workers if stage else spared
    # An accelerator's checkpoint is copied to the host's memory.
    checkpoint = 0 if accelerator else ((1 + copies) * whole - spared) // parallel.data_workers
    if accelerator and stage and parallel.offload_optimizer != "none":
        optimizer = 0
    if accelerator and stage == 3 and parallel.offload_weights != "none":
        weights = 0
    activations, logits = _forward(job, accelerator)
    # Autocast holds a rounded copy of each weight until the backward pass is done; blocks that are computed again hold those of one.
    again = roles.get("matrix", 0) * (job.network.layers - 1) // job.network.layers if job.resources.recompute == "blocks" else 0
    rounded = 0 if train.precision.PRODUCTS == "fp32" else (whole - FP32 * again // parallel.pipeline) // 2
    buffers, step = _buffers(job, whole, part, accelerator), _step(job, roles, accelerator)
    # The flat copy of gradients in stages 0 and 1 is made, and an update too, after the activations are freed.
    early, late = (0, buffers + step) if stage < 2 else (buffers, step)
    buffers = early + rounded + max(0, late - activations - logits - rounded)
    held = weights + gradients + optimizer + checkpoint + activations + logits + buffers
    large = logits if not accelerator and logits // 3 >= MAPPED else 0
    slack = round((held - large) * (GPU_SLACK if accelerator else CPU_SLACK))
    loaded = _process(accelerator, framework, stage)
    return Memory(weights, gradients, optimizer, checkpoint, activations, logits, buffers + slack, loaded)


def _process(accelerator: bool, framework: int | None, stage: int) -> int:
    """Bytes of the process itself: before a model is created, `framework` where it was measured, and what a training loads then."""
    process = framework if framework is not None else GPU_PROCESS if accelerator else CPU_PROCESS
    return process + (0 if accelerator else CPU_ENGINE[stage > 0])


def _adapted_memory(job: Job, accelerator: bool, framework: int | None) -> Memory:
    """Of a network of which an adapter trains a part: the base is on every worker, what is trained is divided as whole weights are.

    ZeRO 3 divides LoRA's base, too, but a layer's weights are gathered, so it is counted as if whole.
    """
    parallel, train = job.resources.parallel, job.train
    stage, workers = parallel.zero_stage, parallel.data_workers
    held = adapted_update(
        job.counted_network,
        job.vocab_size,
        train.adapter,
        job.micro_batch,
        rounding_of(job, accelerator),
        packed=train.masks_documents and job.network.masks_documents,
        recompute=job.resources.recompute == "blocks",
    )
    copies = train.optimizer.STATE + (1 if train.ema_decay else 0)
    optimizer = held.trained * (copies + (1 if stage else 0)) // (workers if stage else 1)
    checkpoint = 0 if accelerator else (1 + copies) * held.trained // workers
    logits = min(_logits(job, accelerator), held.passing - held.trained)
    activations, step = held.passing - held.trained - logits, held.trained * (1 + train.optimizer.STEP)
    # A worker on a CPU keeps what it frees, so nothing lies between the tensors of its next step.
    slack = round((held.passing + step) * GPU_SLACK) if accelerator else 0
    loaded = _process(accelerator, framework, stage) + (0 if accelerator else ADAPTED_LIBRARIES)
    return Memory(held.weights, held.trained, optimizer, checkpoint, activations, logits, step + slack, loaded)


def _step(job: Job, roles: Mapping[Role, int], accelerator: bool) -> int:
    """Bytes that an update holds while it is made: now and then a copy of the weights, to measure by how much they change, and what the
    optimizer computes of one tensor. Under ZeRO, which updates group after group, a tensor is a worker's part of one."""
    optimizer, parallel = job.train.optimizer, job.resources.parallel
    whole, matrices = sum(roles.values()), roles.get("matrix", 0)
    apart = optimizer.MATRIX_STATE is not None  # matrices are a group of their own
    # The largest matrix of a block is about a quarter of it.
    block = matrices // (4 * job.network.layers)
    at_once, copies = optimizer.BATCH if accelerator else (0, 0)
    batch = copies * max(FP32 * block, min(at_once, FP32 * matrices // parallel.data_workers))
    if parallel.zero_stage:
        group = (max(matrices, whole - matrices) if apart else whole) // parallel.data_workers
        return FP32 * (group + optimizer.STEP * ((matrices // parallel.data_workers) if apart else group)) + batch
    tensor = block if apart else max(block, roles.get("embedding", 0))
    return FP32 * whole // parallel.pipeline + max(FP32 * optimizer.STEP * tensor, batch)


def _buffers(job: Job, whole: int, part: int, accelerator: bool) -> int:
    """DeepSpeed's temporary memory: buckets of gradients being reduced, their flat copies, gathered weights."""
    stage, workers = job.resources.parallel.zero_stage, job.resources.parallel.data_workers
    # A bucket is allocated at its full size; on a CPU only the pages written to take memory.
    bucket = FP32 * BUCKET if accelerator else min(whole, FP32 * BUCKET)
    if stage == 0:
        return min(whole, FP32 * BUCKET) if workers > 1 else 0
    if stage == 1:
        return part + (part if workers > 1 else 0)
    if stage == 2:
        accumulates = job.train.global_batch // workers > job.micro_batch
        return part + (part if accumulates else 0) + (bucket if workers > 1 or accelerator else 0)
    return 2 * bucket + min(whole, FP32 * GATHERED)


def _forward(job: Job, accelerator: bool) -> tuple[int, int]:
    """Bytes of the tensors saved for the backward pass: of the network, and of the logits."""
    shape, stages = job.counted_network, job.resources.parallel.pipeline
    row = row_activations(
        shape, job.vocab_size, rounding_of(job, accelerator), packed=job.train.masks_documents and job.network.masks_documents
    )
    recompute = job.resources.recompute == "blocks"
    kept = row.kept(-(-shape.layers * shape.stacks // stages), recompute=recompute)
    # The first stage of a pipeline has as many micro-batches in flight as there are stages, if a batch has that many.
    in_flight = min(stages, job.train.global_batch // job.resources.parallel.data_workers // job.micro_batch)
    logits = _logits(job, accelerator)
    # A block is recomputed once the logits are gone.
    again = max(0, job.micro_batch * max(row.blocks) - logits) if recompute else 0
    return job.micro_batch * (kept * in_flight + row.outside) + again, logits


def _logits(job: Job, accelerator: bool) -> int:
    """Bytes of log-probabilities, then the gradients of their sum and of the logits; where they come in chunks (`chunked.py`), of one
    chunk, and of the gradient of the head's weights that chunks are added to."""
    read = job.micro_batch * round(job.length * job.train.read_share)
    chunk = chunk_rows("cuda" if accelerator else "cpu", job.vocab_size)
    each, times = 3 * FP32 * job.vocab_size, 1 + job.train.trained_heads(job.network)
    if read <= chunk or job.resources.parallel.pipeline > 1:
        return times * read * each
    return chunk * each + times * FP32 * job.vocab_size * job.network.width


def rounding_of(job: Job, accelerator: bool) -> Rounding:
    """A type of matrix products with the job's kernels: on an accelerator, bf16 uses the same ones as fp16."""
    products = job.train.precision.PRODUCTS
    if products == "fp32":
        return "none"
    return "fp16" if accelerator else products


def with_memory_estimates(job: Job) -> Job:
    """Return the job with the memory of each micro-batch if its workers choose one: on accelerators, here or on other nodes."""
    if job.resources.micro_batch or not (torch.cuda.is_available() or job.resources.parallel.nodes > 1):
        return job
    return job.model_copy(update={"micro_batch_bytes": micro_batch_bytes(job)})


def micro_batch_bytes(job: Job) -> dict[int, int]:
    """Estimate the bytes of an accelerator that a worker needs for each number of sequences it may compute at once.

    Numbers of sequences are divisors of the worker's share of a batch. A network that needs the share whole gets no choice.
    """
    share = job.with_micro_batch(job.train.smallest_batch).micro_batch
    sized = {size: job.with_micro_batch(size) for size in range(1, share + 1)}
    return {size: worker_memory(fixed, accelerator=True, framework=0).total for size, fixed in sized.items() if fixed.micro_batch == size}
