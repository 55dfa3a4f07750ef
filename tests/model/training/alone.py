"""Training within the test process, or in processes that train several jobs after one start; can stop after a given update."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.loading.source import StepRows
from model.training.distributed import WorkerRank, import_deepspeed, join, leave
from model.training.job import Job
from tests.model.jobs import free_port
from tests.model.training.exact_muon import multiply_exactly

ROOT = Path(__file__).parents[3]
ALONE = WorkerRank(0, 0, 1)


def train_here(job: Job, worker: WorkerRank = ALONE, stop_after: int | None = None, poisoned: frozenset[int] = frozenset()) -> list[int]:
    """Train as a worker would. With `stop_after`, a stop is requested in that update of this start, so it ends at a checkpoint.

    A batch at a `poisoned` position makes weights and loss NaN. Return the positions of all batches.
    """
    import_deepspeed()
    join(worker)
    torch.set_num_threads(1)
    from model.training.engine import Update
    from model.training.trainer import Interrupted, Trainer

    job.run_directory().mkdir(parents=True, exist_ok=True)
    trainer = Trainer(job, worker)
    step, plain_update = trainer.batches.step, trainer.engine.update
    positions: list[int] = []

    def recorded_step(update: int, skipped: int = 0) -> StepRows:
        positions.append(job.train.sequences_before(update) + skipped)
        trainer.stop_requested = len(positions) == stop_after
        return step(update, skipped)

    def poisoned_update(micro_batches: Sequence[Mapping[str, Tensor]], units: Mapping[str, float]) -> Update:
        result = plain_update(micro_batches, units)
        if positions[-1] not in poisoned:
            return result
        for local in trainer.engine.local_parameters():
            local.parameter.data.fill_(math.nan)
        return result._replace(sums=result.sums * math.nan)

    trainer.batches.step = recorded_step  # type: ignore[method-assign]
    trainer.engine.update = poisoned_update  # type: ignore[method-assign]
    with suppress(Interrupted):
        trainer.train()
    return positions


def engine_of(job: Job) -> Any:
    """Return a fresh engine for the job. Its module must be imported after `import_deepspeed`."""
    torch.set_num_threads(1)
    import_deepspeed()
    join(ALONE)
    from model.training.engine import Engine
    from model.training.train_module import TrainModule

    network = job.network.build(job.vocab_size, seed=job.seed).train()
    return Engine(TrainModule(network, job.build_objective(), job.train.precision), job, ALONE)


def train_together(calls: Sequence[tuple[Job, int | None]], folder: Path, wait_seconds: float = 300, *, exactly: bool = False) -> None:
    """Train jobs with equal numbers of workers one after the other in the same processes, each with its `stop_after`.

    `exactly`: Muon's products are in float64. Raise AssertionError with the reason of each job that failed.
    """
    workers = calls[0][0].resources.parallel.workers
    calls_file = folder / "calls.json"
    calls_file.write_text(json.dumps([(job.model_dump(mode="json"), stop) for job, stop in calls]))
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "GLOO_SOCKET_IFNAME": "lo"}
    quiet = {"PYTHONWARNINGS": "ignore::FutureWarning"}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "WORLD_SIZE": str(workers), **meeting, **quiet}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.model.training.alone", str(calls_file), *(["exactly"] if exactly else [])],
            cwd=ROOT,
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(workers)
    ]
    try:
        codes = [process.wait(wait_seconds) for process in started]
        reasons = [failed_file(job, rank) for job, _ in calls for rank in range(workers)]
        assert codes == [0] * workers, "\n".join([f"{codes}", *(f"{file}:\n{file.read_text()}" for file in reasons if file.exists())])
    finally:
        for process in started:
            process.kill()


def main(calls_file: Path, *, exactly: bool) -> int:
    worker = WorkerRank(int(os.environ["RANK"]), int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    import_deepspeed()
    join(worker)
    if exactly:
        multiply_exactly()
    failures = 0
    for described, stop_after in json.loads(calls_file.read_text()):
        job = Job.model_validate(described)
        try:
            train_here(job, worker, stop_after)
        except Exception:  # noqa: BLE001  # the other jobs are tried all the same, and the exit code tells
            failures += 1
            failed_file(job, worker.rank).write_text(traceback.format_exc())
    return min(failures, 1)


def failed_file(job: Job, rank: int) -> Path:
    """Where a worker writes why it could not train the job."""
    return job.output.parent / f"failed.{rank}"


if __name__ == "__main__":
    leave(main(Path(sys.argv[1]), exactly="exactly" in sys.argv[2:]))
