"""Choose the engine for a job: data parallelism over whole networks, or a pipeline of stages.

Check, before training, that this machine can offload as configured.

On a machine without accelerators, offload to cpu moves nothing; DeepSpeed takes its code paths for offloading, with the same losses.
Offload to nvme uses DeepSpeed's async_io, which is compiled at first use (about a minute) and needs libaio.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from deepspeed.ops.op_builder import AsyncIOBuilder

from model.networks.network import Network
from model.objectives.protocol import Objective
from model.training.distributed import WorkerRank
from model.training.engine import Engine
from model.training.job import Job, JobError
from model.training.parallel.pipeline import PipelineEngine
from model.training.resources import ParallelConfig
from model.training.train_module import TrainModule


def require_async_io(parallel: ParallelConfig) -> None:
    """Raise JobError if offload to nvme is configured but this machine can't do it."""
    for name in ("offload_optimizer", "offload_weights"):
        if getattr(parallel, name) == "nvme" and not AsyncIOBuilder().is_compatible(verbose=False):
            raise JobError(
                f"{name}=nvme needs DeepSpeed's async_io, which can't be built on this machine: install libaio's headers (libaio-dev, "
                f"libaio-devel) and g++, or set {name}=cpu"
            )


AnyEngine = Engine | PipelineEngine


def build_engine(
    job: Job, worker: WorkerRank, objective: Objective, network: Network, frozen: Mapping[str, Network], device: torch.device
) -> AnyEngine:
    """Return an engine that trains `network`; the process group must have been joined.

    `frozen`: the models that the objective needs beside it, by name.
    """
    require_async_io(job.resources.parallel)
    if job.resources.parallel.pipeline > 1:
        return PipelineEngine(network.train(), objective, job, worker)
    still = {name: model.requires_grad_(False).to(device) for name, model in frozen.items()}
    # A network that the workers divide never lies whole on a device.
    network = network.train() if job.resources.parallel.divides_weights else network.train().to(device)
    return Engine(TrainModule(network, objective, job.train.precision, still), job, worker)
