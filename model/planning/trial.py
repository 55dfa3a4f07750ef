"""A trial: a few real updates of a shape on random tokens, in a process of its own, for how fast they are and what they take.

Guarantee: the trainer's own engine, optimizer and DeepSpeed configuration, one worker, on the machine at hand; nothing is written outside
of a temporary folder, and no process is left. Cost: the start of torch and DeepSpeed, about five seconds, and the updates asked for.
When it can't: TrialError with the process's last words.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from model.hardware.resident import resident_bytes
from model.training.job import Job

ROOT = Path(__file__).resolve().parents[2]
WARM = 2  # updates that are not timed: memory is taken and kernels are chosen in them
WAIT_SECONDS = 600


class TrialError(RuntimeError):
    """The trial did not come to its end."""


class Trial(BaseModel, frozen=True):
    """What was measured."""

    seconds: float = Field(description="of one update, the median of those timed; seconds")
    processor_seconds: float = Field(description="of all threads in one update, the median of those timed; more threads wait, too; seconds")
    tokens: int = Field(description="in one update; tokens")
    baseline_bytes: int = Field(description="the process before a model was made: interpreter, torch, DeepSpeed; bytes")
    peak_bytes: int = Field(description="most that the process held, on an accelerator its allocator; bytes")
    threads: int = Field(description="threads that it computed with; count")

    @property
    def tokens_per_second(self) -> float:
        """Speed of the timed updates."""
        return self.tokens / self.seconds


def try_out(job: Job, updates: int = 4) -> Trial:
    """Make `updates` timed updates of the job's shape, batch and optimizer with one worker; its paths are not read."""
    alone = job.resources.parallel.model_copy(update={"workers": 1, "pipeline": 1, "nodes": 1})
    job = job.model_copy(update={"resources": job.resources.model_copy(update={"parallel": alone})})
    with tempfile.TemporaryDirectory(prefix="folio-trial-") as folder:
        path = Path(folder) / "job.json"
        path.write_text(job.model_dump_json(), encoding="utf-8")
        command = [sys.executable, "-m", "model.planning.trial", str(path), str(updates)]
        try:
            ended = subprocess.run(
                command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=WAIT_SECONDS, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired:
            raise TrialError(f"the trial of {job.decoder} took more than {WAIT_SECONDS} s; try a smaller shape") from None
    if ended.returncode:
        words = ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"]
        raise TrialError(f"the trial of {job.decoder} failed: {words[-1]}")
    return Trial.model_validate_json(ended.stdout.strip().splitlines()[-1])


def measure(job: Job, updates: int, folder: Path) -> dict[str, Any]:
    """In this process: the updates, and what they took. Joins a process group of one."""
    import os
    import statistics

    import torch

    from model.training.distributed import WorkerRank, import_deepspeed, join

    if job.resources.threads:
        torch.set_num_threads(job.resources.threads)
    torch.set_flush_denormal(True)
    import_deepspeed()
    os.environ["LOCAL_RANK"] = "0"
    worker = WorkerRank(0, 0, 1)
    join(worker)
    from model.networks.decoder import Decoder
    from model.objectives.next_token import NextToken
    from model.training.engine import Engine
    from model.training.train_module import TrainModule
    from model.training.trainer import Trainer  # noqa: F401  # what a worker of a real run has loaded, too

    cuda = torch.cuda.is_available()
    device = torch.device("cuda", 0) if cuda else torch.device("cpu")
    baseline = resident_bytes()
    decoder = Decoder(job.decoder, job.vocab_size, seed=0).train().to(device)
    engine = Engine(TrainModule(decoder, NextToken(), job.train.precision, None), job, worker)
    generator = torch.Generator().manual_seed(0)
    rows, context = job.train.batch_at(0), job.decoder.context
    seconds, worked = [], []
    for _ in range(WARM + updates):
        batches = []
        for _ in range(rows // job.micro_batch):
            drawn = torch.randint(0, job.vocab_size, (job.micro_batch, context + 1), generator=generator)
            batches.append({"tokens": drawn[:, :-1].to(device), "targets": drawn[:, 1:].to(device)})
        began, before = time.perf_counter(), time.process_time()
        engine.update(batches, rows * context)
        if cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
        worked.append(time.process_time() - before)
    peak = torch.cuda.max_memory_allocated() if cuda else resident_bytes(peak=True)
    return {
        "seconds": statistics.median(seconds[WARM:]),
        "processor_seconds": statistics.median(worked[WARM:]),
        "tokens": rows * context,
        "baseline_bytes": 0 if cuda else baseline,
        "peak_bytes": peak,
        "threads": torch.get_num_threads(),
    }


if __name__ == "__main__":
    described = Path(sys.argv[1])
    told = measure(Job.model_validate_json(described.read_text(encoding="utf-8")), int(sys.argv[2]), described.parent)
    print(json.dumps(told), flush=True)
    from model.training.distributed import leave

    leave()
