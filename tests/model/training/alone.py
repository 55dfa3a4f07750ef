"""An engine in this very process: one worker that meets nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from model.architecture.decoder import Decoder
from model.objectives.objective import objective_for
from model.training.distributed import Place, import_deepspeed, join
from model.training.job import Job

ALONE = Place(0, 0, 1)


def engine_of(job: Job) -> Any:
    """A fresh engine for the job; its module may only be imported after DeepSpeed was, our way."""
    torch.set_num_threads(1)
    import_deepspeed()
    join(ALONE, Path())
    from model.training.engine import Engine
    from model.training.lesson import Lesson

    decoder = Decoder(job.decoder, job.vocab_size, seed=job.seed).train()
    return Engine(Lesson(decoder, objective_for(job.train), job.train.precision, None), job, ALONE)
