"""What offloading asks of this machine, asked before anything is trained.

On a processor, offload to cpu leaves numbers where they are: DeepSpeed takes its paths for offloading, and the losses stay the same.
Offload to nvme goes through DeepSpeed's async_io, which is compiled at its first use (about a minute) and wants libaio.
"""

from __future__ import annotations

from deepspeed.ops.op_builder import AsyncIOBuilder

from model.training.job import JobError
from model.training.parallel.config import ParallelConfig


def require_async_io(parallel: ParallelConfig) -> None:
    """JobError where something is to be offloaded to nvme and this machine can't."""
    for name in ("offload_optimizer", "offload_weights"):
        if getattr(parallel, name) == "nvme" and not AsyncIOBuilder().is_compatible(verbose=False):
            raise JobError(
                f"{name}=nvme needs DeepSpeed's async_io, which can't be built on this machine: install libaio's headers (libaio-dev, "
                f"libaio-devel) and g++, or set {name}=cpu"
            )
