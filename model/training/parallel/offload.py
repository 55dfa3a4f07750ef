"""Check, before training, that this machine can offload as configured.

On a machine without accelerators, offload to cpu moves nothing; DeepSpeed takes its code paths for offloading, with the same losses.
Offload to nvme uses DeepSpeed's async_io, which is compiled at first use (about a minute) and needs libaio.
"""

from __future__ import annotations

from deepspeed.ops.op_builder import AsyncIOBuilder

from model.training.job import JobError
from model.training.parallel.config import ParallelConfig


def require_async_io(parallel: ParallelConfig) -> None:
    """Raise JobError if offload to nvme is configured but this machine can't do it."""
    for name in ("offload_optimizer", "offload_weights"):
        if getattr(parallel, name) == "nvme" and not AsyncIOBuilder().is_compatible(verbose=False):
            raise JobError(
                f"{name}=nvme needs DeepSpeed's async_io, which can't be built on this machine: install libaio's headers (libaio-dev, "
                f"libaio-devel) and g++, or set {name}=cpu"
            )
