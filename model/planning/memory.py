"""What one worker holds at its fullest moment, piece by piece, counted from shape, batch and ZeRO stage.

Weights, gradients and AdamW's two moments are fp32 in every precision that the trainer has, 16 bytes a parameter; ZeRO (Rajbhandari et
al. 2020) spreads them over W workers: stage 1 the moments, 2 gradients, too, 3 weights, too. To these come what DeepSpeed 0.19 was seen
to hold besides (a flat copy of gradients, a master copy of weights in stages 1 and 2, gathered weights in stage 3), what the backward
pass needs of the forward pass (every tensor that autograd saves, counted exactly), and the process itself. Checked against measured
runs on CPU in fp32: within 15 %.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from model.planning.units import GIB
from model.training.job import Job

FP32, BF16 = 4, 2
MOMENTS = 2  # AdamW's, each as large as the weights
BUCKET = 500_000_000  # DeepSpeed's reduce_bucket_size, numbers
GATHERED = 1_000_000_000  # DeepSpeed's stage3_max_live_parameters, numbers
PLAIN_LIMIT = 512  # model/architecture/attention.py: up to this many tokens bf16 on a CPU keeps its attention scores
# Seen on Linux with torch 2.13 and DeepSpeed 0.19: interpreter and libraries, then what the engine loads; by whether ZeRO is on.
CPU_PROCESS = 261_000_000
CPU_ENGINE = {False: 97_000_000, True: 153_000_000}
# A CUDA context with NCCL's buffers and cuBLAS's workspaces: stated, not measured here.
GPU_PROCESS = round(1.5 * GIB)
# Blocks that malloc has freed and keeps: 6 to 25 % of what a CPU run held in twelve runs. The CUDA allocator wastes less; stated.
CPU_SLACK, GPU_SLACK = 0.20, 0.05


@dataclass(frozen=True)
class Memory:
    """Bytes of one worker by what they are for."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    buffers: int
    framework: int

    @property
    def total(self) -> int:
        """All of it."""
        return sum(asdict(self).values())


def worker_memory(job: Job, *, accelerator: bool, recompute: bool = False, framework: int | None = None) -> Memory:
    """Memory of each of the job's workers while it pretrains.

    `recompute`: only each block's input is kept and the rest computed again. `framework`: the process before a model is made, where it
    was measured; bytes.
    """
    parameters = job.decoder.parameters(job.vocab_size)
    parallel = job.resources.parallel
    stage, workers = parallel.zero_stage, parallel.workers
    whole = FP32 * parameters
    part = -(-whole // workers)
    weights = part if stage == 3 else whole
    gradients = part if stage >= 2 else whole
    master = part if stage else 0
    optimizer = MOMENTS * (part if stage else whole) + master
    activations, logits = _forward(job, accelerator, recompute)
    buffers = _buffers(job, whole, part, accelerator)
    if stage < 2:
        # The flat copy of gradients is made when the activations are gone.
        buffers = max(0, buffers - activations - logits)
    held = weights + gradients + optimizer + activations + logits + buffers
    slack = round(held * (GPU_SLACK if accelerator else CPU_SLACK))
    process = framework if framework is not None else GPU_PROCESS if accelerator else CPU_PROCESS
    engine = 0 if accelerator else CPU_ENGINE[stage > 0]
    return Memory(weights, gradients, optimizer, activations, logits, buffers + slack, process + engine)


def _buffers(job: Job, whole: int, part: int, accelerator: bool) -> int:
    """What DeepSpeed holds for a moment: buckets of gradients on their way, flat copies of them, gathered weights."""
    stage, workers = job.resources.parallel.zero_stage, job.resources.parallel.workers
    # A bucket is asked for at its full size; a processor gets the pages that are written to.
    bucket = FP32 * BUCKET if accelerator else min(whole, FP32 * BUCKET)
    if stage == 0:
        return min(whole, FP32 * BUCKET)
    if stage == 1:
        return part + (part if workers > 1 else 0)
    if stage == 2:
        accumulates = job.train.global_batch // workers > job.micro_batch
        return part + (part if accumulates else 0) + (bucket if workers > 1 or accelerator else 0)
    return 2 * bucket + min(whole, FP32 * GATHERED)


def _forward(job: Job, accelerator: bool, recompute: bool) -> tuple[int, int]:
    """Bytes of the tensors that one micro-batch's forward pass leaves for its backward pass: of the blocks, and of the logits."""
    shape, tokens = job.decoder, job.micro_batch * job.decoder.context
    block = block_activations(job, accelerator)
    kept = FP32 * shape.width * shape.layers + block if recompute else block * shape.layers
    last_norm = FP32 * 2 * shape.width + _product_bytes(job) * shape.width + FP32
    # Log-probabilities, then the gradients of their sum and of the logits.
    return round(tokens * (kept + last_norm)), tokens * FP32 * 3 * job.vocab_size


def block_activations(job: Job, accelerator: bool) -> int:
    """Bytes that one block keeps for each token: two norms' inputs and outputs, queries, keys, values, the mix, four of the gated unit."""
    shape, number = job.decoder, _product_bytes(job)
    inner, shared = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
    norms = 2 * (2 * FP32 * shape.width + number * shape.width + FP32)
    products = number * (2 * inner + 2 * shared + 4 * shape.feed_forward)
    plain = number == BF16 and not accelerator and shape.context <= PLAIN_LIMIT
    scores = number * shape.heads * shape.context if plain else FP32 * shape.heads
    return norms + products + scores


def _product_bytes(job: Job) -> int:
    return FP32 if job.train.precision == "fp32" else BF16
