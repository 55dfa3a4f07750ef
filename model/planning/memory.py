"""The peak memory of one worker by purpose, estimated from shape, batch, optimizer and ZeRO stage.

Weights, gradients and optimizer state are fp32 in every precision of the trainer: 16 bytes per parameter for AdamW. ZeRO (Rajbhandari et
al. 2020) partitions them over the workers: in stage 1 the optimizer state, in 2 also gradients, in 3 also weights. Added to these are what
DeepSpeed 0.19 was seen to hold besides (a flat copy of gradients, a master copy of weights in stages 1 and 2, gathered weights in stage 3),
the activations saved for the backward pass, and the process itself. For decoders with Llama's choices every tensor that autograd saves is
counted; other kinds of attention and norm are assumed to save as much. Within 15 % of measured runs on CPU in fp32. What is offloaded is
not counted for an accelerator, nor anywhere else.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from model.hardware.devices import GIB
from model.layers.config import GATED
from model.training.job import Job

FP32, BF16 = 4, 2
# Numbers that an optimizer keeps per weight. Adafactor's rows and columns are negligible.
STATE = {"sgd": 0, "momentum": 1, "adam": 2, "adamw": 2, "adafactor": 0, "lion": 1, "sophia": 2, "muon": 1}
BUCKET = 500_000_000  # DeepSpeed's reduce_bucket_size, numbers
GATHERED = 1_000_000_000  # DeepSpeed's stage3_max_live_parameters, numbers
PLAIN_LIMIT = 512  # model/layers/attention_plan.py: up to this many tokens bf16 on a CPU keeps its attention scores
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
    whole = FP32 * -(-job.network.parameters(job.vocab_size) // parallel.pipeline)
    part = -(-whole // parallel.data_workers)
    weights = part if stage == 3 else whole
    gradients = part if stage >= 2 else whole
    copies = STATE[train.optimizer] + (1 if train.ema_decay else 0)
    optimizer = copies * (part if stage else whole) + (part if stage else 0)
    if accelerator and stage and parallel.offload_optimizer != "none":
        optimizer = 0
    if accelerator and stage == 3 and parallel.offload_weights != "none":
        weights = 0
    activations, logits = _forward(job, accelerator)
    # Autocast holds a rounded copy of each weight until the backward pass is done.
    rounded = 0 if train.precision == "fp32" else whole // 2
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
    """What DeepSpeed holds temporarily: buckets of gradients being reduced, flat copies of them, gathered weights."""
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
    """Bytes of the tensors saved for the backward pass: of the blocks, and of the logits."""
    shape, tokens, stages = job.network, job.micro_batch * job.network.context, job.resources.parallel.pipeline
    block, layers = block_activations(job, accelerator), -(-shape.layers // stages)
    saved = FP32 * shape.width * layers + block if job.resources.recompute == "blocks" else block * layers
    # The first stage of a pipeline has as many micro-batches in flight as there are stages, if a batch has that many.
    in_flight = min(stages, job.train.global_batch // job.resources.parallel.data_workers // job.micro_batch)
    last_norm = FP32 * 2 * shape.width + _product_bytes(job) * shape.width + FP32
    # Log-probabilities, then the gradients of their sum and of the logits.
    # Rows of several documents have a mask: a boolean one, and in each block the same as numbers.
    masks = shape.context * (1 + _product_bytes(job) * layers) if job.train.masks_documents else 0
    return tokens * (saved * in_flight + last_norm + masks), tokens * FP32 * 3 * job.vocab_size


def block_activations(job: Job, accelerator: bool) -> int:
    """Bytes that one block saves per token: norms, queries, keys, values, attention output, feed-forward."""
    shape, number = job.network, _product_bytes(job)
    heads = shape.heads if shape.attention == "latent" else shape.kv_heads
    inner, shared = shape.heads * shape.head_width, heads * shape.head_width
    norms = 2 * (2 * FP32 * shape.width + number * shape.width + FP32)
    products = number * (2 * inner + 2 * shared + (4 if shape.activation in GATED else 2) * shape.feed_forward)
    plain = number == BF16 and not accelerator and shape.context <= PLAIN_LIMIT
    scores = number * shape.heads * shape.context if plain else FP32 * shape.heads
    return norms + products + scores


def _product_bytes(job: Job) -> int:
    return FP32 if job.train.precision == "fp32" else BF16
