"""The typed sections of a job compiled to DeepSpeed's configuration: nobody writes it by hand.

Every key comes from a typed field; what DeepSpeed would choose by itself is left out, apart from what it would choose wrongly here.
Cheap to import: a plan can show what a job compiles to.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from model.training.job import Job
from model.training.parallel.config import ParallelConfig


def deepspeed_config(job: Job) -> dict[str, Any]:
    """The DeepSpeed configuration of a job."""
    parallel = job.resources.parallel
    # Without a pipeline the engine says itself where an update ends, as the batch may grow: these numbers only have to agree.
    accumulated = job.train.global_batch // parallel.data_workers // job.micro_batch if parallel.pipeline > 1 else 1
    return {
        "train_batch_size": job.micro_batch * parallel.data_workers * accumulated,
        "train_micro_batch_size_per_gpu": job.micro_batch,
        "gradient_accumulation_steps": accumulated,
        # Stage 0 is clipped by the engines, which take the norm in another precision or skip overflowed updates.
        "gradient_clipping": job.train.clip if parallel.zero_stage else 0.0,
        "zero_optimization": _zero(parallel),
        "zero_allow_untested_optimizer": True,
        # An optimizer of torch's works on offloaded numbers, too; DeepSpeed's own for that compiles for minutes at the first start.
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 2**31,
    }


def _zero(parallel: ParallelConfig) -> dict[str, Any]:
    zero: dict[str, Any] = {"stage": parallel.zero_stage}
    for key, device in (("offload_optimizer", parallel.offload_optimizer), ("offload_param", parallel.offload_weights)):
        if device == "none":
            continue
        zero[key] = {"device": device, "pin_memory": True}
        if device == "nvme":
            zero[key]["nvme_path"] = str(Path(parallel.nvme_path))
    return zero
