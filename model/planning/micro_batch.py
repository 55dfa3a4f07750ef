"""The memory that each micro-batch would take on an accelerator, for the workers to choose from.

A worker knows how much memory its card has free, but not what a micro-batch needs; the job tells it.
"""

from __future__ import annotations

import torch

from model.planning.memory import worker_memory
from model.training.job import Job


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
