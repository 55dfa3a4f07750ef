"""Launching a job: workers started, followed and ended. The caller's process never joins the process group.

Guarantee: returns when the model directory is written, or raises with the reason; no worker is alive afterwards, whether
it returned, raised, was signalled, or was killed. A signal first stops the workers at a checkpoint, then takes its course.
A killed job continues from its last checkpoint when launched again with the same `checkpoints` directory.
Cost: two processes' start-up, about three seconds, mostly the import of torch and DeepSpeed.
"""

from __future__ import annotations

import json
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from model.training.history import read_lines
from model.training.job import Job
from model.training.processes import Workers
from model.training.progress import Progress, ProgressReader
from model.training.worker import STOPPED

POLL_SECONDS = 0.1


class LaunchError(RuntimeError):
    """The workers failed, stalled or were stopped; the message carries the reason."""


def launch(
    job: Job,
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    time_limit_seconds: float | None = None,
) -> dict[str, float]:
    """Train as the job says; returns the last line of its history without the step, and `steps` and `tokens_per_second`.

    `on_progress` is called in this thread, at most about twice a second; what it raises stops the workers and is raised.
    LaunchError: a worker failed (with its own words), was silent for `resources.stall_seconds`, ran past
    `time_limit_seconds`, or was stopped by a signal.
    """
    job = job.model_copy(update={name: getattr(job, name).resolve() for name in _paths(job)})
    directory = job.run_directory()
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    job_file = directory / "job.json"
    job_file.write_text(job.model_dump_json(indent=2) + "\n", encoding="utf-8")
    began = time.monotonic()
    with _signals() as received, Workers(job_file, job.resources.workers, job.resources.threads) as workers:
        reader, heard, speed = ProgressReader(directory / "progress.jsonl"), began, 0.0
        while True:
            codes = workers.codes()
            if received:
                raise LaunchError(f"stopped by signal {received[0]}; the same job continues from its checkpoint")
            for progress in reader.new():
                heard, speed = time.monotonic(), progress.tokens_per_second or speed
                on_progress(progress)
            if all(code == 0 for code in codes):
                break
            if any(code not in (None, 0) for code in codes):
                _let_others_end(workers)
                raise LaunchError(_reason(job, workers))
            now = time.monotonic()
            if now - heard > job.resources.stall_seconds:
                raise LaunchError(f"no progress for stall_seconds={job.resources.stall_seconds:.0f}; {_last_words(workers)}")
            if time_limit_seconds is not None and now - began > time_limit_seconds:
                raise LaunchError(f"not done within {time_limit_seconds:.0f} s; the same job continues from its checkpoint")
            time.sleep(POLL_SECONDS)
    last = read_lines(job.output / "history.jsonl")[-1]
    steps = float(last.pop("step"))
    return {**{name: float(value) for name, value in last.items()}, "steps": steps, "tokens_per_second": speed}


def _paths(job: Job) -> list[str]:
    names = ("train_shards", "val_shards", "initial_model", "output", "checkpoints")
    return [name for name in names if getattr(job, name) is not None]


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGTERM and SIGINT while inside, then raise the first again for whoever handled it before.

    Only the main thread may handle signals; elsewhere the caller's own handling stands.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])


def _let_others_end(workers: Workers, seconds: float = 3.0) -> None:
    """After one worker's failure: a moment for the others to say why, too. What remains is killed on the way out."""
    deadline = time.monotonic() + seconds
    while None in workers.codes() and time.monotonic() < deadline:
        time.sleep(0.05)
    if None in workers.codes():
        workers.kill()


def _reason(job: Job, workers: Workers) -> str:
    codes = workers.codes()
    if STOPPED in codes:
        return workers.tail(codes.index(STOPPED), 1)
    failure = job.run_directory() / "failure.json"
    if failure.exists():
        return str(json.loads(failure.read_text(encoding="utf-8"))["message"])
    return _last_words(workers)


def _last_words(workers: Workers) -> str:
    parts = [f"worker {rank} (exit {code}):\n{workers.tail(rank)}" for rank, code in enumerate(workers.codes())]
    return "\n".join(parts)
