"""The peak memory of one worker by purpose, estimated from shape, batch, optimizer and ZeRO stage.

Weights, gradients and optimizer state are fp32 in every precision of the trainer: 16 bytes per parameter for AdamW. ZeRO (Rajbhandari et
al. 2020) partitions them over the workers: in stage 1 the optimizer state, in 2 also gradients, in 3 also weights. Added to these are what
DeepSpeed 0.19 was seen to hold besides (a flat copy of gradients, a master copy of weights in stages 1 and 2, gathered weights in stage 3),
the activations that the network saves for the backward pass (`activations.py`), and the process itself. Within 15 % of measured runs on CPU
in fp32, and within 10 % of the tensors of a step at 124 million and a billion parameters, counted without numbers. Offloaded
memory is not counted.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from model.hardware.devices import GIB
from model.networks.meta import parameters_by_role
from model.objectives.chunked import chunk_rows
from model.planning.activations import Rounding, row_activations
from model.training.job import Job

FP32 = 4
BUCKET = 500_000_000  # DeepSpeed's reduce_bucket_size, numbers
GATHERED = 1_000_000_000  # DeepSpeed's stage3_max_live_parameters, numbers
# Measured on Linux with torch 2.13 and DeepSpeed 0.19: interpreter and libraries; then what the engine loads, without and with ZeRO.
CPU_PROCESS = 290_000_000
CPU_ENGINE = {False: 97_000_000, True: 153_000_000}
# A CUDA context with NCCL's buffers and cuBLAS's workspaces: an assumption, not measured.
GPU_PROCESS = round(1.5 * GIB)
# Blocks that malloc holds after they are freed: 6 to 25 % of the memory in twelve CPU runs. The CUDA allocator wastes less; an assumption.
CPU_SLACK, GPU_SLACK = 0.20, 0.05


@dataclass(frozen=True)
class Memory:
    """Bytes of one worker by purpose."""

    weights: int
    gradients: int
    optimizer: int
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
    roles = parameters_by_role(job.network, job.vocab_size)
    whole = FP32 * -(-sum(roles.values()) // parallel.pipeline)
    part = -(-whole // parallel.data_workers)
    weights = part if stage == 3 else whole
    gradients = part if stage >= 2 else whole
    copies = train.optimizer.STATE + (1 if train.ema_decay else 0)
    optimizer = copies * (part if stage else whole) + (part if stage else 0)
    optimizer -= (train.optimizer.STATE - train.optimizer.matrix_state) * FP32 * roles["matrix"]
    if accelerator and stage and parallel.offload_optimizer != "none":
        optimizer = 0
    if accelerator and stage == 3 and parallel.offload_weights != "none":
        weights = 0
    activations, logits = _forward(job, accelerator)
    # Autocast holds a rounded copy of each weight until the backward pass is done.
    rounded = 0 if train.precision.PRODUCTS == "fp32" else whole // 2
    buffers = _buffers(job, whole, part, accelerator)
    if stage < 2:
        # The flat copy of gradients is made after the activations are freed.
        buffers = max(0, buffers - activations - logits - rounded)
    buffers += rounded
    held = weights + gradients + optimizer + activations + logits + buffers
    slack = round(held * (GPU_SLACK if accelerator else CPU_SLACK))
    process = framework if framework is not None else GPU_PROCESS if accelerator else CPU_PROCESS
    engine = 0 if accelerator else CPU_ENGINE[stage > 0]
    return Memory(weights, gradients, optimizer, activations, logits, buffers + slack, process + engine)


def _buffers(job: Job, whole: int, part: int, accelerator: bool) -> int:
    """DeepSpeed's temporary memory: buckets of gradients being reduced, their flat copies, gathered weights."""
    stage, workers = job.resources.parallel.zero_stage, job.resources.parallel.data_workers
    # A bucket is allocated at its full size; on a CPU only the pages written to take memory.
    bucket = FP32 * BUCKET if accelerator else min(whole, FP32 * BUCKET)
    if stage == 0:
        return min(whole, FP32 * BUCKET)
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
        shape, job.vocab_size, _rounding(job, accelerator), packed=job.train.masks_documents and job.network.masks_documents
    )
    recompute = job.resources.recompute == "blocks"
    kept = row.kept(-(-shape.layers // stages), recompute=recompute)
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
    each = 3 * FP32 * job.vocab_size
    if read <= chunk or job.resources.parallel.pipeline > 1:
        return read * each
    return chunk * each + FP32 * job.vocab_size * job.network.width


def _rounding(job: Job, accelerator: bool) -> Rounding:
    """A type of matrix products with the job's kernels: on an accelerator, bf16 uses the same ones as fp16."""
    products = job.train.precision.PRODUCTS
    if products == "fp32":
        return "none"
    return "fp16" if accelerator else products
