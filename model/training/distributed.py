"""The process group of the workers: joining and leaving it, a worker's rank, and what workers exchange.

Several workers are started by torchrun or Slurm, and join through MASTER_ADDR and MASTER_PORT. A single worker has nobody to meet.
`leave` waits for all workers, flushes, and ends the process without unwinding it: a gloo thread that outlives the interpreter would
otherwise abort about one run in three of two workers."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NoReturn

import torch
from torch import distributed

from model.training.job import JobError
from model.training.launch.hosts import slurm_environment

WRITING_SECONDS = 24 * 3600  # the longest that one worker may write while the others wait


@dataclass(frozen=True)
class WorkerRank:
    """This worker's rank among all, its rank on its machine, and how many workers there are."""

    rank: int
    local_rank: int
    world_size: int

    @property
    def is_first(self) -> bool:
        """Whether this is the one worker that writes records."""
        return self.rank == 0


def rank_from_environment(port: int) -> WorkerRank:
    """Read RANK, LOCAL_RANK and WORLD_SIZE, or Slurm's variables; without any, the worker is alone.

    Slurm sets no MASTER_ADDR: it is the first node, at `port`.
    """
    os.environ.update(slurm_environment(os.environ, port))
    return WorkerRank(*(int(os.environ.get(name, value)) for name, value in (("RANK", 0), ("LOCAL_RANK", 0), ("WORLD_SIZE", 1))))


def import_deepspeed() -> None:
    """Import DeepSpeed without the parts not needed here; other modules may `import deepspeed` afterwards.

    Its autotuner tries to import mlflow, which costs a second of every start and is never used in a worker. Its shared-memory collective
    is compiled with g++ for a minute at the first start, and gains nothing over gloo.
    """
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    absent = "mlflow" not in sys.modules
    if absent:
        sys.modules["mlflow"] = None  # type: ignore[assignment]
    import deepspeed

    if absent:
        del sys.modules["mlflow"]
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.utils.logger.setLevel("ERROR")


def own_card(local_rank: int, visible: int, environment: Mapping[str, str]) -> int:
    """Return which of the `visible` cards is this worker's; raise JobError if it has none.

    A worker sees all cards of its machine and takes the one of its own rank, unless Slurm shows each task a single card
    (`--gpus-per-task=1`, `--gpu-bind=single:1`): that one is number 0 in every task.
    """
    if local_rank < visible:
        return local_rank
    if visible == 1 and "SLURM_PROCID" in environment:
        return 0
    raise JobError(
        f"worker {local_rank} of its machine has no card of its own: {visible} visible there; start at most that many workers a "
        "machine, or make more visible (CUDA_VISIBLE_DEVICES, or srun's --gpus-per-task=1)"
    )


def select_device(worker: WorkerRank) -> str:
    """Make this worker's accelerator, if there is one, the current device; return the backend for the process group.

    DeepSpeed takes the device from LOCAL_RANK, so that is the card's number from here on.
    """
    if not torch.cuda.is_available():
        return "gloo"
    card = own_card(worker.local_rank, torch.cuda.device_count(), os.environ)
    os.environ["LOCAL_RANK"] = str(card)
    torch.cuda.set_device(card)
    return "nccl"


def own_device() -> torch.device:
    """Return the device that `select_device` made the current one."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def join(worker: WorkerRank, meet_seconds: float = 600) -> None:
    """Join the process group; raise if a worker is missing after `meet_seconds`, which also limits each later exchange."""
    import deepspeed
    from torch._C._distributed_c10d import HashStore

    os.environ.setdefault("LOCAL_RANK", str(worker.local_rank))  # DeepSpeed reads it
    # The device is set before anything touches the first one.
    backend = select_device(worker)
    if not distributed.is_initialized():
        if worker.world_size == 1:
            distributed.init_process_group(backend, store=HashStore(), rank=0, world_size=1)
        else:
            distributed.init_process_group(backend, timeout=timedelta(seconds=meet_seconds))
    deepspeed.init_distributed(dist_backend=backend, auto_mpi_discovery=False, verbose=False)


def leave(code: int = 0) -> NoReturn:
    """Wait for the other workers if `code` is 0, then end this process."""
    if code == 0 and distributed.is_initialized():
        distributed.barrier()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class HostExchange:
    """Exchange numbers between the workers' hosts over gloo, and wait there while one of them writes a model.

    Between collectives of accelerators one worker may write for longer than NCCL waits before it ends the job, so the others wait here.
    """

    def __init__(self, world_size: int, meet_seconds: float) -> None:
        """A collective. `meet_seconds`: the longest wait for the other workers."""
        self._alone = world_size == 1
        self._group: distributed.ProcessGroup | None = None
        self._patient: distributed.ProcessGroup | None = None
        if not self._alone:
            self._patient = distributed.new_group(backend="gloo", timeout=timedelta(seconds=max(WRITING_SECONDS, meet_seconds)))
            if distributed.get_backend() != "gloo":
                self._group = distributed.new_group(backend="gloo", timeout=timedelta(seconds=meet_seconds))

    def wait_for_writer(self) -> None:
        """Wait until all workers are here, up to a day: what rank 0 writes takes as long as its disk. A collective.

        A worker that dies breaks its connections, which ends the wait at once.
        """
        if not self._alone:
            distributed.barrier(group=self._patient)

    def sum(self, numbers: Sequence[float]) -> list[float]:
        """Return the sum over all workers of each number, in double precision. A collective."""
        if self._alone:
            return [float(number) for number in numbers]
        shared = torch.tensor(numbers, dtype=torch.float64)
        distributed.all_reduce(shared, group=self._group)
        summed: list[float] = shared.tolist()
        return summed
