"""Launching a job: workers started, followed and ended. The caller's process never joins the process group.

Guarantee: returns when the model directory is written, or raises with the reason; no worker is alive afterwards, whether
it returned, raised, was signalled, or was killed. Whatever is raised meanwhile, Ctrl-C too, first stops the workers at a checkpoint,
and a note on it tells which is kept.
A killed job continues from its last checkpoint when launched again with the same `checkpoints` directory.
Cost: two processes' start-up, about three seconds, mostly the import of torch and DeepSpeed.
"""

from __future__ import annotations

import shlex
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from model.training.checkpoint.record import CheckpointRecord
from model.training.job import Job
from model.training.launch.launchers import ROOT, starts, torchrun_command
from model.training.launch.processes import WorkerProcesses
from model.training.launch.worker import STOPPED
from model.training.telemetry.progress import Progress, ProgressReader, silent_workers
from model.training.telemetry.step_log import read_lines

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
    LaunchError: a worker failed (with its own words) or was killed, was silent for `resources.stall_seconds`, or ran past
    `time_limit_seconds`.
    """
    job = job.model_copy(update={name: getattr(job, name).resolve() for name in _paths(job)})
    launcher = job.resources.parallel.launcher
    program = {"hostfile": "ssh", "slurm": "srun"}.get(launcher)
    if program and shutil.which(program) is None:
        raise LaunchError(f"launcher={launcher} needs {program} on PATH; install it, or use another launcher")
    directory = job.run_directory()
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    job_file = directory / "job.json"
    job_file.write_text(job.model_dump_json(indent=2) + "\n", encoding="utf-8")
    with _terminable(), WorkerProcesses(starts(job, job_file), directory) as workers:
        try:
            if job.resources.parallel.launcher == "torchrun" and job.resources.parallel.nodes > 1:
                on_progress(_awaited(job, shlex.join(torchrun_command(job, job_file))))
            speed = _follow(job, workers, on_progress, time_limit_seconds)
        except BaseException as error:
            workers.stop()
            if not isinstance(error, LaunchError):
                error.add_note(kept(job))
            raise
    if not (history := read_lines(job.output / "history.jsonl")):
        raise LaunchError(f"the workers are done, but {job.output} is not to be seen here: all nodes must see it under this name")
    last = history[-1]
    steps = float(last.pop("step"))
    return {**{name: float(value) for name, value in last.items()}, "steps": steps, "tokens_per_second": speed}


def _awaited(job: Job, command: str) -> Progress:
    where = {"step": 0, "steps": job.total_steps, "loss": None, "learning_rate": 0.0, "tokens_per_second": 0.0, "seconds_left": None}
    return Progress(**where, note=f"waiting for the other nodes; on each of them, within meet_seconds, in {ROOT}: {command}")


def kept(job: Job) -> str:
    """What a stopped job goes on from, in words."""
    latest = CheckpointRecord.read(job.checkpoints)
    return f"the checkpoint of step {latest.step} of {job.total_steps} is kept" if latest else "no checkpoint was written yet"


def _follow(job: Job, workers: WorkerProcesses, on_progress: Callable[[Progress], None], limit: float | None) -> float:
    """Until all workers are done; returns the speed. Raises LaunchError when one failed, was silent too long, or at the time limit."""
    reader, speed = ProgressReader(job.run_directory() / "progress.jsonl"), 0.0
    began = heard = time.monotonic()
    while True:
        codes = workers.codes()
        for progress in reader.new():
            heard, speed = time.monotonic(), progress.tokens_per_second or speed
            on_progress(progress)
        if all(code == 0 for code in codes):
            return speed
        if any(code not in (None, 0) for code in codes):
            _let_others_end(workers)
            raise LaunchError(_reason(job, workers, codes))
        now = time.monotonic()
        if now - heard > job.resources.stall_seconds:
            quiet = "".join(
                f", worker {rank} gave no sign of life for {age:.0f} s" for rank, age in silent_workers(job.run_directory()).items()
            )
            workers.stop()
            silence = f"no progress for stall_seconds={job.resources.stall_seconds:g}{quiet}"
            raise LaunchError(f"{silence}, so the workers were ended; {kept(job)}")
        if limit is not None and now - began > limit:
            workers.stop()
            raise LaunchError(f"not done within {limit:.0f} s; {kept(job)}")
        time.sleep(POLL_SECONDS)


def _paths(job: Job) -> list[str]:
    names = ("train_shards", "val_shards", "initial_model", "output", "checkpoints")
    return [name for name in names if getattr(job, name) is not None]


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM that nobody handles is raised as an error while inside, so that the workers are stopped first; then it takes its course.

    Who handles it already raises something by himself, as Prefect does; only the main thread may ask.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    except _Terminated:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _Terminated(BaseException):
    """SIGTERM arrived."""


def _let_others_end(workers: WorkerProcesses, seconds: float = 3.0) -> None:
    """After one worker's failure: a moment for the others to say why, too. What remains is killed on the way out."""
    deadline = time.monotonic() + seconds
    while None in workers.codes() and time.monotonic() < deadline:
        time.sleep(0.05)
    if None in workers.codes():
        workers.kill()


def _reason(job: Job, workers: WorkerProcesses, codes: list[int | None]) -> str:
    """Why the job failed, and what is kept. `codes`: the exit codes as they were seen first."""
    killed = next(((index, -code) for index, code in enumerate(codes) if code is not None and code < 0), None)
    if killed is not None:
        # The others' words, if any, are only that they miss it.
        index, number = killed
        return f"{workers.names[index]} was ended by signal {number} ({signal.strsignal(number)}); {kept(job)}"
    if reports := workers.reports():
        said = reports[0]
        return f"{said['message']}; {kept(job)}" if said["again"] else str(said["message"])
    index = next(index for index, code in enumerate(codes) if code)
    how = "was asked to stop by something else" if codes[index] == STOPPED else f"ended with code {codes[index]}"
    return f"{workers.names[index]} {how}, its output is in {workers.log(index)}; {kept(job)}"
