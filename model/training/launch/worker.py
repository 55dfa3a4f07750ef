"""A worker process: `python -m model.training.launch.worker job.json`, started once for every rank by a launcher.

Exit codes: 0 done; 75 stopped by a signal at a checkpoint (start the same job again); 1 failed, with the reason told to the
launcher in a line of JSON and the traceback on stderr.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
import threading
import traceback
import warnings
from pathlib import Path

STOPPED = 75  # EX_TEMPFAIL of sysexits.h: try again later
PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Die when the launcher does, even by kill -9: through the kernel where it is the parent, else through the stdin that it holds open."""
    if os.environ.get("FOLIO_LIFELINE") == "stdin":
        threading.Thread(target=_obey, daemon=True).start()
        return
    # Under torchrun the parent is torchrun, which dies with the launcher; it must not outlive it alone either.
    parent = str(os.getppid()) if "TORCHELASTIC_RUN_ID" in os.environ else os.environ.get("FOLIO_LAUNCHER")
    if parent is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        os._exit(1)


def _obey() -> None:
    """Until stdin ends, which ends this process: each line that comes asks it to stop at a checkpoint."""
    while os.read(0, 64):
        os.kill(os.getpid(), signal.SIGTERM)
    os._exit(1)


class UnseenError(OSError):
    """This machine does not see what the launcher wrote."""


def main(path: Path) -> int:
    """Do one worker's part of the job at `path`; returns the exit code."""
    die_with_parent()
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch")
    if not path.exists():
        # Only the worker itself can know: another node sees another disk.
        report(
            UnseenError(f"{socket.gethostname()} does not see {path}: all nodes must see the job's folders under the same names"),
            again=False,
        )
        return 1
    import torch

    from model.training.distributed import import_deepspeed, join, rank_from_environment
    from model.training.job import Job, JobError
    from model.training.telemetry.progress import start_heartbeat

    job = Job.model_validate_json(path.read_text(encoding="utf-8"))
    worker = rank_from_environment(job.resources.parallel.port)
    if worker.world_size != job.resources.parallel.workers:
        raise JobError(
            f"{worker.world_size} workers were started, the job is for workers={job.resources.parallel.workers}; start that many"
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(job.resources.threads or max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", worker.world_size))))
    # Numbers too small for their type slow a CPU's arithmetic many times over, and teach nothing.
    torch.set_flush_denormal(True)
    import_deepspeed()
    join(worker, path.parent, job.resources.parallel.meet_seconds)
    start_heartbeat(path.parent, worker.rank)

    from model.loading.shards import ShardError
    from model.networks.directory import ModelError
    from model.training.guards.faults import TrainingError
    from model.training.optimizers.state import StateError
    from model.training.trainer import Interrupted, Trainer

    try:
        Trainer(job, worker).train()
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        return STOPPED
    except (JobError, ModelError, ShardError, StateError, TrainingError) as error:
        # Started again, the same job would end the same way.
        report(error, again=False)
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def report(error: BaseException, *, again: bool) -> None:
    """Tell the launcher why this worker fails; `again`: the same job may go on where it was, once the cause is gone."""
    told = os.environ.get("FOLIO_REPORTS")
    if told is not None:
        # A line of this length is written whole, however many workers fail at once.
        message = " ".join(f"{type(error).__name__}: {error}".split())[:1500]
        line = json.dumps({"message": message, "again": again}) + "\n"
        os.write(sys.stdout.fileno() if told == "stdout" else int(told), line.encode())


if __name__ == "__main__":
    try:
        code = main(Path(sys.argv[1]))
    except BaseException as error:  # noqa: BLE001  # whatever it was is told, printed, and told by the exit code
        code = 1
        report(error, again=True)
        traceback.print_exc()
    from model.training.distributed import leave

    leave(code)
