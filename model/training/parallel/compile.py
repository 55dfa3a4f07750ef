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
    share = job.train.global_batch // parallel.data_workers
    return {
        "train_batch_size": job.train.global_batch,
        "train_micro_batch_size_per_gpu": job.micro_batch,
        "gradient_accumulation_steps": share // job.micro_batch,
        # Stage 0 takes the norm in single precision, where its rounding grows to 1e-3 of the loss in 60 steps: see `clip_gradients`.
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
