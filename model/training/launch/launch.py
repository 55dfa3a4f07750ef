"""Launching a job: start its workers, follow their progress, end them. The caller's process never joins the process group.

Guarantee: `launch` returns when the model directory is written, or raises with the reason. No worker is alive afterwards, whether it
returned, raised, was signalled or was killed. Any exception meanwhile, Ctrl-C included, first stops the workers at a checkpoint; a note on
the exception says which one. A job launched again with the same `checkpoints` directory continues from its last checkpoint.
Cost: the start of the worker processes, about three seconds, mostly the import of torch and DeepSpeed; as much again for torchrun.
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
from typing import Any

from model.training.checkpoint.record import CheckpointRecord
from model.training.job import Job
from model.training.launch.commands import ROOT, WORKER, commands, torchrun_command
from model.training.launch.lifeline import STOPPED, expect_workers
from model.training.launch.processes import WorkerProcesses
from model.training.telemetry.progress import Progress, ProgressReader, have_joined, silent_workers
from model.training.telemetry.sizes import read_sizes
from model.training.telemetry.step_log import read_lines

POLL_SECONDS = 0.1
LAST_WORDS_SECONDS = 3.0  # after one worker's failure, for the others to report theirs


class LaunchError(RuntimeError):
    """The workers failed, stalled or were stopped; the message says why."""


def launch(
    job: Job,
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    time_limit_seconds: float | None = None,
) -> dict[str, float]:
    """Train the job; return the last line of its step log without the step, `steps`, `tokens_per_second`, and what the network took.

    `on_progress` is called in this thread, at most about twice a second; an exception in it stops the workers and propagates.
    Raise LaunchError if a worker fails (with its own message) or is killed, if all are silent for `resources.stall_seconds`, or after
    `time_limit_seconds`.
    """
    job = job.absolute()
    launcher = job.resources.parallel.launcher
    program = {"hostfile": "ssh", "slurm": "srun"}.get(launcher)
    if program and shutil.which(program) is None:
        raise LaunchError(f"launcher={launcher} needs {program} on PATH; install it, or use another launcher")
    directory = job.run_directory()
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    job_file = directory / "job.json"
    job_file.write_text(job.model_dump_json(indent=2) + "\n", encoding="utf-8")
    expect_workers(directory, WORKER, job.resources.parallel.workers)
    with _sigterm_raises(), WorkerProcesses(commands(job, job_file), directory) as processes:
        try:
            if launcher == "torchrun" and job.resources.parallel.nodes > 1:
                on_progress(_waiting(job, shlex.join(torchrun_command(job, job_file))))
            speed = _follow(job, processes, on_progress, time_limit_seconds)
        except BaseException as error:
            processes.stop()
            if not isinstance(error, LaunchError):
                error.add_note(_resume_point(job))
            raise
    if not (log := read_lines(job.output / "history.jsonl")):
        raise LaunchError(f"the workers have finished, but {job.output} does not exist here: all nodes must see it under this name")
    last = log[-1]
    steps = float(last.pop("step"))
    measured = {name: float(value) for name, value in last.items()}
    return {**measured, "steps": steps, "tokens_per_second": speed, **read_sizes(job.output / "logs")}


def _waiting(job: Job, command: str) -> Progress:
    start = {"step": 0, "steps": job.total_steps, "loss": None, "learning_rate": 0.0, "tokens_per_second": 0.0, "seconds_left": None}
    return Progress(**start, note=f"waiting for the other nodes; on each of them, within meet_seconds, in {ROOT}: {command}")


def _resume_point(job: Job) -> str:
    """The checkpoint that a stopped job will continue from, in words."""
    step = kept_step(job)
    return f"the checkpoint of step {step} of {job.total_steps} is kept" if step else "no checkpoint was written yet"


def kept_step(job: Job) -> int:
    """Return the step of the checkpoint that a job continues from; 0 if it has none."""
    record = CheckpointRecord.read(job.checkpoints)
    return record.step if record else 0


def _follow(job: Job, processes: WorkerProcesses, on_progress: Callable[[Progress], None], limit: float | None) -> float:
    """Wait until all processes are done; return the speed. Raise LaunchError if one fails, all are silent too long, or time is up."""
    reader, speed = ProgressReader(job.run_directory() / "progress.jsonl"), 0.0
    began = heard = time.monotonic()
    joined = False
    while True:
        codes = processes.codes()
        if not joined and have_joined(job.run_directory()):
            joined, heard = True, time.monotonic()
        for progress in reader.new():
            heard, speed = time.monotonic(), progress.tokens_per_second or speed
            on_progress(progress)
        if all(code == 0 for code in codes):
            return speed
        reports = processes.reports() if None in codes else []
        if reports or any(code not in (None, 0) for code in codes):
            _let_others_end(processes)
            raise LaunchError(_reason(job, processes, codes, [*reports, *processes.reports()]))
        now = time.monotonic()
        if now - heard > job.resources.stall_seconds:
            ages = silent_workers(job.run_directory())
            quiet = "".join(f", worker {rank} gave no sign of life for {age:.0f} s" for rank, age in ages.items())
            processes.stop()
            silence = f"no progress for stall_seconds={job.resources.stall_seconds:g}{quiet}"
            raise LaunchError(f"{silence}, so the workers were ended; {_resume_point(job)}")
        if limit is not None and now - began > limit:
            processes.stop()
            raise LaunchError(f"not done within {limit:.0f} s; {_resume_point(job)}")
        time.sleep(POLL_SECONDS)


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Raise on an unhandled SIGTERM inside the block, to stop the workers first; afterwards it takes its default effect.

    A handler of the caller's, such as Prefect's, stays in place, since it raises something by itself. Only the main thread may set one.
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


def _let_others_end(processes: WorkerProcesses) -> None:
    """After one failure, give the others a moment to report theirs, then kill what remains."""
    deadline = time.monotonic() + LAST_WORDS_SECONDS
    while None in processes.codes() and time.monotonic() < deadline:
        time.sleep(0.05)
    if None in processes.codes():
        processes.kill()


def _reason(job: Job, processes: WorkerProcesses, codes: list[int | None], reports: list[dict[str, Any]]) -> str:
    """Why the job failed, and what it will continue from. `codes`: the exit codes as first seen."""
    index = next((index for index, code in enumerate(codes) if code is not None and code < 0), None)
    if index is None:
        index = next((index for index, code in enumerate(codes) if code), 0)
    name, code = processes.commands[index].name, codes[index]
    if exits := [report for report in reports if report["report"] == "exit"]:
        # torchrun says which of its workers failed first.
        host = processes.commands[index].host
        name, code = f"worker {exits[0]['rank']}" + (f" on {host}" if host else ""), exits[0]["code"]
    if code is not None and code < 0:
        # The others' reports, if any, only say that they miss it.
        return f"{name} was ended by signal {-code} ({signal.strsignal(-code)}); {_resume_point(job)}"
    if errors := [report for report in reports if report["report"] == "error"]:
        message = str(errors[0]["message"])
        return f"{message}; {_resume_point(job)}" if errors[0]["again"] else message
    how = "was asked to stop, but not by this launcher" if code == STOPPED else f"ended with code {code}"
    return f"{name} {how}, its output is in {processes.log(index)}; {_resume_point(job)}"
