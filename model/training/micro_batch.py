"""The largest micro-batch that a worker's accelerator has memory for.

Few tokens at once starve a card: it waits for kernels to be launched. So as many sequences are computed at once as fit, by the estimate
that the job brings. This changes rounding alone, like every choice of `resources`.
"""

from __future__ import annotations

import torch
from torch import distributed

from model.training.job import Job

USABLE = 0.9  # share of a device's free memory; the rest is for what is estimated too low, and for fragments


def fitting_micro_batch(bytes_by_size: dict[int, int], free_bytes: int) -> int:
    """Return the most sequences that fit into so many bytes; the smallest choice if none fits."""
    return max((size for size, needed in bytes_by_size.items() if needed <= USABLE * free_bytes), default=min(bytes_by_size))


def with_fitting_micro_batch(job: Job) -> Job:
    """Return the job with the largest micro-batch that fits every worker's accelerator; unchanged if it sets one, or on CPUs.

    A collective, to be called before anything is on the device.
    """
    if job.resources.micro_batch or not job.micro_batch_bytes or not torch.cuda.is_available():
        return job
    free, _ = torch.cuda.mem_get_info()
    smallest = torch.tensor(fitting_micro_batch(job.micro_batch_bytes, free), device="cuda")
    distributed.all_reduce(smallest, op=distributed.ReduceOp.MIN)
    return job.with_micro_batch(int(smallest))
