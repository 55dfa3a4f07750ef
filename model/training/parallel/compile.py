"""The typed sections of a job compiled to DeepSpeed's configuration: nobody writes it by hand.

Every key comes from a typed field. What DeepSpeed chooses by itself is left to it, apart from what it would choose wrongly here.
Cheap to import: a plan can show what a job compiles to.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from model.training.parallel.config import ParallelConfig

if TYPE_CHECKING:
    from model.training.job import Job

# Which matrices tensor parallelism cuts, and along which dimension (Shoeybi et al., 2019): the outputs of what opens attention and
# feed-forward, the inputs of what closes them. Everything else is whole on every worker.
CUT_OUTPUTS = r".*\.(q|k|v|gate|up)_proj\.(weight|bias)$"
CUT_INPUTS = r".*\.(o|down)_proj\.weight$"


def deepspeed_config(job: Job) -> dict[str, Any]:
    """The DeepSpeed configuration of a job."""
    parallel = job.resources.parallel
    # Without a pipeline the engine says itself where an update ends, as the batch may grow.
    accumulated = job.train.global_batch // parallel.data_workers // job.micro_batch if parallel.pipeline > 1 else 1
    compiled: dict[str, Any] = {
        # The whole batch follows from these and the workers; DeepSpeed counts those of a cut model wrongly until it has cut it.
        "train_micro_batch_size_per_gpu": job.micro_batch,
        "gradient_accumulation_steps": accumulated,
        # Stage 0 is clipped by the engines, which take the norm in another precision or skip overflowed updates.
        "gradient_clipping": job.train.clip if parallel.zero_stage else 0.0,
        "zero_optimization": _zero(parallel),
        "zero_allow_untested_optimizer": True,
        # torch's optimizers work on offloaded numbers, too; DeepSpeed's own for them compiles for minutes at its first start.
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 2**31,
    }
    if parallel.tensor > 1:
        specs = [{"patterns": [CUT_OUTPUTS], "partition_type": "column"}, {"patterns": [CUT_INPUTS], "partition_type": "row"}]
        compiled["tensor_parallel"] = {
            "autotp_size": parallel.tensor,
            "partition_config": {"use_default_specs": False, "layer_specs": specs},
        }
    return compiled


def cut_along(name: str) -> int | None:
    """The dimension along which tensor parallelism cuts the parameter of this name; None: it does not."""
    if re.match(CUT_OUTPUTS, name):
        return 0
    return 1 if re.match(CUT_INPUTS, name) else None


def _zero(parallel: ParallelConfig) -> dict[str, Any]:
    zero: dict[str, Any] = {"stage": parallel.zero_stage}
    for key, place in (("offload_optimizer", parallel.offload_optimizer), ("offload_param", parallel.offload_weights)):
        if place != "none":
            zero[key] = {"device": place, "pin_memory": True}
        if place == "nvme":
            zero[key]["nvme_path"] = parallel.nvme_path
    return zero
