"""Compile a job's typed settings to DeepSpeed's configuration.

DeepSpeed's defaults stand, except where they would be wrong here. Cheap to import.

Tensor parallelism through DeepSpeed's AutoTP: matrices cut over workers, as Megatron-LM does (Shoeybi et al., 2019).

Guarantee: the loss curve equals a single process's (within 1e-3 in fp32 over 20 steps), in ZeRO 1 to 3. Workers of one model have
consecutive ranks, so they share a node; they compute the same sequences and exchange x_BTD twice per block and direction. The
network's `cut_plan` says what is cut along which dimension; each worker's attention computes its share of the heads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import deepspeed
import torch
from deepspeed.utils import groups
from torch import Tensor, distributed

from model.networks.network import CutPlan, Network
from model.training.resources import ParallelConfig

if TYPE_CHECKING:
    from model.training.job import Job


def deepspeed_config(job: Job, plan: CutPlan, *, own_norm: bool = False) -> dict[str, Any]:
    """Return the DeepSpeed configuration of a job whose network is cut by this plan.

    `own_norm`: the engine computes the gradients' norm and clips to it itself (`model/training/optimizers/norms.py`).
    """
    parallel = job.resources.parallel
    # Without a pipeline our engine marks where an update ends, because the batch may grow.
    accumulated = job.train.global_batch // parallel.data_workers // job.micro_batch if parallel.pipeline > 1 else 1
    compiled: dict[str, Any] = {
        # DeepSpeed derives the whole batch; given it, it would miscount the workers of a model that it has not cut yet.
        "train_micro_batch_size_per_gpu": job.micro_batch,
        "gradient_accumulation_steps": accumulated,
        # Our engines clip in stage 0, and wherever that can be done without waiting for the norm.
        "gradient_clipping": job.train.clip if parallel.zero_stage and not own_norm else 0.0,
        "zero_optimization": _zero(parallel, own_norm),
        # It would wait for the device twice a step.
        "timers": {"throughput": {"enabled": False}},
        "zero_allow_untested_optimizer": True,
        # torch's optimizers work on offloaded state too; DeepSpeed's own CPU optimizer compiles for minutes at its first start.
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 2**31,
    }
    if parallel.tensor > 1:
        compiled["tensor_parallel"] = {
            "autotp_size": parallel.tensor,
            "partition_config": {"use_default_specs": False, "layer_specs": _cut(plan)},
        }
    return compiled


def _cut(plan: CutPlan) -> list[dict[str, Any]]:
    """Return DeepSpeed's form of the plan: which parameters it cuts, leaves whole, or leaves whole and sums the gradients of."""
    specs = (
        {"patterns": [*plan.outputs], "partition_type": "column"},
        {"patterns": [*plan.inputs], "partition_type": "row"},
        {"patterns": [*plan.summed], "partition_type": "skip", "grad_allreduce": True},
    )
    return [spec for spec in specs if spec["patterns"]]


def _zero(parallel: ParallelConfig, own_norm: bool) -> dict[str, Any]:
    zero: dict[str, Any] = {"stage": parallel.zero_stage}
    if own_norm and parallel.zero_stage in (1, 2):
        zero["compute_grad_norm"] = False
    for key, device in (("offload_optimizer", parallel.offload_optimizer), ("offload_param", parallel.offload_weights)):
        if device != "none":
            zero[key] = {"device": device, "pin_memory": True}
        if device == "nvme":
            zero[key]["nvme_path"] = parallel.nvme_path
    return zero


def finish_cut(engine: deepspeed.DeepSpeedEngine, network: Network, tensor: int) -> None:
    """Give each attention its share of the heads, after DeepSpeed has cut the matrices."""
    if tensor == 1:
        return
    network.divide_heads(tensor)
    # DeepSpeed would compare the first batch across workers, which fails for a mapping of tensors. Ours follows from the step, so it is
    # equal.
    engine.first_dataloader_check.remove()
    engine.first_dataloader_check = None


def join_parts(part: Tensor, dim: int, tensor: int) -> Tensor:
    """Return a whole parameter from its `tensor` parts; a collective of the workers of one model."""
    parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(tensor)]
    distributed.all_gather(parts, part.contiguous(), group=groups.get_tensor_model_parallel_group())
    return torch.cat(parts, dim=dim)
