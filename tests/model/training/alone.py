"""An engine in this very process: one worker that meets nobody, on a job's own batches."""

from __future__ import annotations

from pathlib import Path

import torch

from model.architecture.decoder import Decoder
from model.objectives.objective import objective_for
from model.training.batches import Batches
from model.training.distributed import Place, import_deepspeed, join
from model.training.job import Job

ALONE = Place(0, 0, 1)


def engine_of(job: Job):  # type: ignore[no-untyped-def]  # its module may only be imported after DeepSpeed's own import
    """A fresh engine for the job, and its batches."""
    torch.set_num_threads(1)
    import_deepspeed()
    join(ALONE, Path())
    from model.training.engine import Engine
    from model.training.lesson import Lesson

    objective = objective_for(job.train)
    decoder = Decoder(job.decoder, job.vocab_size, seed=job.seed).train()
    return Engine(Lesson(decoder, objective, job.train.precision, None), job, ALONE), Batches(job, objective, ALONE, torch.device("cpu"))
