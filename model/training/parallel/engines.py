"""Choose the engine for a job: data parallelism over whole networks, or a pipeline of stages."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from model.networks.network import Network
from model.objectives.protocol import Objective
from model.training.distributed import WorkerRank
from model.training.engine import Engine
from model.training.job import Job
from model.training.parallel.offload import require_async_io
from model.training.parallel.pipeline import PipelineEngine
from model.training.train_module import TrainModule

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
    return Engine(TrainModule(network.train().to(device), objective, job.train.precision, still), job, worker)
