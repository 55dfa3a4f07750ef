"""Training in the tests' own process: one worker, no launch."""

from __future__ import annotations

from pathlib import Path

from model.training.distributed import Place, import_deepspeed, join
from model.training.job import Job

ALONE = Place(0, 0, 1)


def train_alone(job: Job, stop_after: int | None = None) -> None:
    """As a worker would; with `stop_after`, asked to stop after so many steps of this start, at a checkpoint."""
    import torch

    import_deepspeed()
    join(ALONE, Path())
    torch.set_num_threads(1)
    from model.training.trainer import Interrupted, Trainer

    job.run_directory().mkdir(parents=True, exist_ok=True)
    trainer = Trainer(job, ALONE)
    update, done = trainer.engine.update, 0

    def counted(*arguments):  # type: ignore[no-untyped-def]
        nonlocal done
        done += 1
        trainer.stop_asked = done == stop_after
        return update(*arguments)

    if stop_after:
        trainer.engine.update = counted  # type: ignore[method-assign]
        if stop_after == 1:
            trainer.stop_asked = True
    try:
        trainer.train()
    except Interrupted:
        pass
