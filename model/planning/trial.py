"""A trial: a few real updates of a model on random tokens, in a separate process, to measure their speed and memory.

It uses the trainer's own engine, optimizer and DeepSpeed configuration, with one worker on this machine. Nothing is written outside a
temporary folder, and no process is left behind. Cost: the start of torch and DeepSpeed, about five seconds, and the updates.

A model is sized by what a trial measures, and a neighbour of a minute must not decide that. Where other processes use the processors, an
update's seconds are the processor time of the thread that makes it, which has a share of every product and sleeps while it waits for the
others': what the clock would say on the machine alone, less those waits.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from model.hardware.peak import resident_bytes
from model.hardware.waiting import OtherWork, crowded, processors, watch
from model.training.job import Job

ROOT = Path(__file__).resolve().parents[2]
WARM_UP = 2  # untimed updates that allocate memory and choose kernels
WAIT_SECONDS = 600


class TrialError(RuntimeError):
    """The trial failed; the message ends with the process's last line."""


class TrainingTrial(BaseModel, frozen=True, defer_build=True):
    """The measurements of a trial."""

    seconds: float = Field(description="one update on this machine alone: the median by the clock, or what its thread computed; seconds")
    cpu_seconds: float = Field(description="median CPU time of one update, all threads; threads that wait count too; seconds")
    tokens: int = Field(description="in one update; tokens")
    baseline_bytes: int = Field(description="memory before a model is created: interpreter, torch, DeepSpeed; bytes")
    peak_bytes: int = Field(description="peak memory of the process; on an accelerator, of its allocator; bytes")
    threads: int = Field(description="threads that compute; count")
    others: float = Field(description="processors that other processes used meanwhile; count")
    processors: float = Field(description="processors that this process may use; count")

    @property
    def tokens_per_second(self) -> float:
        """Training speed."""
        return self.tokens / self.seconds

    @property
    def beside_others(self) -> bool:
        """Whether the trial had to share its processors."""
        return crowded(self.threads, self.processors, self.others)


def run_trial(job: Job, updates: int = 4) -> TrainingTrial:
    """Time `updates` updates of the job's model, batch and optimizer with one worker. Raise TrialError if that fails.

    The job's paths are not read.
    """
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
            raise TrialError(f"the trial of {job.network} took more than {WAIT_SECONDS} s; try a smaller shape") from None
    if ended.returncode:
        last = ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"]
        raise TrialError(f"the trial of {job.network} failed: {last[-1]}")
    return TrainingTrial.model_validate_json(ended.stdout.strip().splitlines()[-1])


def measure(job: Job, updates: int) -> dict[str, Any]:
    """Make the updates in this process and return what they cost. Joins a process group of one."""
    import os
    import statistics

    import numpy as np
    import torch

    from model.planning.memory import with_memory_estimates
    from model.training.distributed import WorkerRank, import_deepspeed, join
    from model.training.micro_batch import with_fitting_micro_batch

    if job.resources.threads:
        torch.set_num_threads(job.resources.threads)
    watch()
    torch.set_flush_denormal(True)
    import_deepspeed()
    os.environ["LOCAL_RANK"] = "0"
    worker = WorkerRank(0, 0, 1)
    join(worker)
    from model.training.engine import Engine
    from model.training.train_module import TrainModule
    from model.training.trainer import Trainer  # noqa: F401  # loaded for its memory, as in a worker of a real run

    job = with_fitting_micro_batch(with_memory_estimates(job))
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", 0) if cuda else torch.device("cpu")
    baseline = resident_bytes()
    network, objective = job.network.build(job.vocab_size, seed=0).train().to(device), job.build_objective()
    engine = Engine(TrainModule(network, objective, job.train.precision), job, worker)
    generator = torch.Generator().manual_seed(0)
    rows, context = job.train.batch_at(0), job.length
    widths = {name: width for reads in job.network.all_inputs for name, width in reads.columns().items()}
    beside = {name: np.zeros((job.micro_batch, context + 1, width), np.float32) for name, width in widths.items()}
    clock, cpu, own = [], [], []
    others = OtherWork()
    for number in range(WARM_UP + updates):
        if number == WARM_UP:
            others.processors()
        batches, units = [], Counter[str]()
        for _ in range(rows // job.micro_batch):
            drawn = torch.randint(0, job.vocab_size, (job.micro_batch, context + 1), generator=generator).numpy()
            columns = {**beside, "tokens": drawn, "document": np.zeros_like(drawn), "loss": np.ones(drawn.shape, np.bool_)}
            micro_batch = {**columns, "position": np.arange(job.micro_batch), "continues": drawn % 2 > 0}
            units.update(objective.units(micro_batch))
            arrays = objective.batch(micro_batch)
            batches.append({name: torch.from_numpy(np.ascontiguousarray(array)).to(device) for name, array in arrays.items()})
        began, before, computed = time.perf_counter(), time.process_time(), time.thread_time()
        engine.update(batches, {name: float(count) for name, count in units.items()})
        if cuda:
            torch.cuda.synchronize()
        clock.append(time.perf_counter() - began)
        own.append(time.thread_time() - computed)
        cpu.append(time.process_time() - before)
    peak = torch.cuda.max_memory_allocated() if cuda else resident_bytes(peak=True)
    threads, offered, used = torch.get_num_threads(), processors(), others.processors()
    shared = not cuda and crowded(threads, offered, used)
    return {
        "seconds": statistics.median((own if shared else clock)[WARM_UP:]),
        "cpu_seconds": statistics.median(cpu[WARM_UP:]),
        "tokens": rows * context,
        "baseline_bytes": 0 if cuda else baseline,
        "peak_bytes": peak,
        "threads": threads,
        "others": used,
        "processors": offered,
    }


if __name__ == "__main__":
    job_file = Path(sys.argv[1])
    measured = measure(Job.model_validate_json(job_file.read_text(encoding="utf-8")), int(sys.argv[2]))
    print(json.dumps(measured), flush=True)
    from model.training.distributed import leave

    leave()
