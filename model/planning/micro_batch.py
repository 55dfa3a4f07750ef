"""The largest micro-batch that a worker's accelerator has memory for.

Few tokens at once starve a card: it waits for kernels to be launched. So as many sequences are computed at once as fit, by the estimate of
`memory.py`. This changes rounding alone, like every choice of `resources`.
"""

from __future__ import annotations

from model.planning.memory import worker_memory
from model.training.job import Job

USABLE = 0.9  # share of a device's free memory; the rest is for what is estimated too low, and for fragments


def with_micro_batch(job: Job, size: int) -> Job:
    """Return the job with micro-batches of at most so many sequences."""
    return job.model_copy(update={"resources": job.resources.model_copy(update={"micro_batch": size})})


def fitting_micro_batch(job: Job, free_bytes: int) -> int:
    """Return the most sequences that a worker can compute at once in so many bytes of its accelerator; 1 if not even one fits.

    It is a divisor of the worker's share of a batch. A network that needs the share whole gets it whole.
    """
    share = with_micro_batch(job, job.train.smallest_batch).micro_batch
    for size in range(share, 1, -1):
        fitted = with_micro_batch(job, size)
        if fitted.micro_batch == size and worker_memory(fitted, accelerator=True, framework=0).total <= USABLE * free_bytes:
            return size
    return 1
