"""A worker process: `python -m model.training.launch.worker job.json`, started once for each rank.

Exit codes: 0 done; 75 stopped by a signal, at a checkpoint (start the same job again); 1 failed, with the reason reported to the launcher
and the traceback on stderr.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import traceback
import warnings
from pathlib import Path

from model.training.distributed import import_deepspeed, join, leave, rank_from_environment
from model.training.launch.lifeline import STOPPED, die_with_launcher, report_error, require_recording


class JobNotVisibleError(OSError):
    """This machine does not see the files that the launcher wrote."""


def main(path: Path) -> int:
    """Do one worker's part of the job described at `path`; return the exit code."""
    die_with_launcher()
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch")
    if not path.exists():
        # Only the worker can find out, as another machine may mount another disk.
        report_error(
            JobNotVisibleError(f"{socket.gethostname()} does not see {path}: all nodes must see the job's folders under the same names"),
            again=False,
        )
        return 1
    import torch

    from model.hardware.waiting import cores, watch
    from model.training.job import Job, JobError
    from model.training.telemetry.progress import start_heartbeat

    job = Job.model_validate_json(path.read_text(encoding="utf-8"))
    worker = rank_from_environment(job.resources.parallel.port)
    expected = job.resources.parallel.workers
    if worker.world_size != expected:
        raise JobError(f"{worker.world_size} workers were started, but the job has workers={expected}; start that many")
    torch.set_num_threads(job.resources.threads or max(1, cores() // int(os.environ.get("LOCAL_WORLD_SIZE", worker.world_size))))
    watch()
    # Denormal numbers slow a CPU's arithmetic many times over, and contribute nothing to training.
    torch.set_flush_denormal(True)
    import_deepspeed()
    join(worker, job.resources.parallel.meet_seconds)
    start_heartbeat(path.parent, worker.rank)
    from model.training.micro_batch import with_fitting_micro_batch
    from model.training.precision import use_deterministic, use_tf32

    use_tf32(job.resources)
    use_deterministic(job.resources)
    job = with_fitting_micro_batch(job)

    from data.shards.schema import ShardError
    from model.networks.directory import ModelError
    from model.training.guards.faults import TrainingError
    from model.training.optimizers.state import StateError
    from model.training.trainer import Interrupted, Trainer

    try:
        trainer = Trainer(job, worker)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # a hang-up under nohup
                signal.signal(number, trainer.request_stop)
        trainer.train()
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        return STOPPED
    except (JobError, ModelError, ShardError, StateError, TrainingError) as error:
        # The same job would fail in the same way if started again.
        report_error(error, again=False)
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    require_recording(Path(sys.argv[1]).parent, "model.training.launch.worker", sys.argv[1:])
    try:
        code = main(Path(sys.argv[1]))
    except BaseException as error:  # noqa: BLE001  # every error is reported, printed, and turned into an exit code
        code = 1
        report_error(error, again=True)
        traceback.print_exc()
    leave(code)
