"""Choose the engine for a job: data parallelism over whole decoders, or a pipeline of stages."""

from __future__ import annotations

import torch

from model.networks.decoder import Decoder
from model.objectives.objective import Objective
from model.training.distributed import WorkerRank
from model.training.engine import Engine
from model.training.job import Job
from model.training.parallel.offload import require_async_io
from model.training.parallel.pipeline import PipelineEngine
from model.training.train_module import TrainModule

AnyEngine = Engine | PipelineEngine


def build_engine(
    job: Job, worker: WorkerRank, objective: Objective, decoder: Decoder, reference: Decoder | None, device: torch.device
) -> AnyEngine:
    """Return an engine that trains `decoder`; the process group must have been joined. `reference`: the frozen copy that DPO needs."""
    require_async_io(job.resources.parallel)
    if job.resources.parallel.pipeline > 1:
        return PipelineEngine(decoder.train(), objective, job, worker)
    if reference is not None:
        reference = reference.requires_grad_(False).to(device)
    return Engine(TrainModule(decoder.train().to(device), objective, job.train.precision, reference), job, worker)
