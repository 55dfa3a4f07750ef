"""The group of workers: who am I, how do we meet, how do we part.

Meeting: under an outside launcher (torchrun, DeepSpeed's, Slurm) through MASTER_ADDR and MASTER_PORT; under our own, on
one machine, through a file in the run directory, so that no port can be taken. A single worker meets nobody.
Parting: `leave` waits for all, flushes, and ends the process without unwinding it: a gloo thread that outlives the
interpreter would otherwise abort about one run in three of two workers.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

from model.training.parallel.hosts import slurm_environment


@dataclass(frozen=True)
class Place:
    """This worker's number, the number of its machine's workers before it, and how many there are."""

    rank: int
    local_rank: int
    world: int

    @property
    def leads(self) -> bool:
        """Whether this is the one worker that writes records."""
        return self.rank == 0


def place_from_environment(port: int) -> Place:
    """As the launcher told: RANK, LOCAL_RANK and WORLD_SIZE, or Slurm in its own words; alone when none told anything.

    Slurm names no meeting place: it is `port` of its first node.
    """
    os.environ.update(slurm_environment(os.environ, port))
    return Place(*(int(os.environ.get(name, value)) for name, value in (("RANK", 0), ("LOCAL_RANK", 0), ("WORLD_SIZE", 1))))


def import_deepspeed() -> None:
    """Import DeepSpeed without what it does not need here; every other module may then `import deepspeed`.

    Its autotuner tries to import mlflow, which costs a second of every start and reports to nobody from a worker. Its
    shared-memory collective is compiled with g++ for a minute at the first start, and gains nothing over gloo.
    """
    import torch

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


def take_device(place: Place) -> str:
    """This worker's accelerator, if there are any, made the current one before anything touches the first; what they meet over."""
    import torch

    if not torch.cuda.is_available():
        return "gloo"
    torch.cuda.set_device(place.local_rank)
    return "nccl"


def join(place: Place, run_directory: Path, meet_seconds: float = 600) -> None:
    """Meet the other workers; raises when one has not come within `meet_seconds`, which also limits each exchange later."""
    import deepspeed
    from torch import distributed
    from torch._C._distributed_c10d import FileStore, HashStore

    os.environ.setdefault("LOCAL_RANK", str(place.local_rank))  # DeepSpeed looks for it there
    backend, timeout = take_device(place), timedelta(seconds=meet_seconds)
    if not distributed.is_initialized():
        if place.world == 1:
            distributed.init_process_group(backend, store=HashStore(), rank=0, world_size=1)
        elif "MASTER_ADDR" in os.environ:
            distributed.init_process_group(backend, timeout=timeout)
        else:
            store = FileStore(str(run_directory / "meeting"), place.world)
            distributed.init_process_group(backend, store=store, rank=place.rank, world_size=place.world, timeout=timeout)
    deepspeed.init_distributed(dist_backend=backend, auto_mpi_discovery=False, verbose=False)


def leave(code: int = 0) -> NoReturn:
    """Wait for the others, then end this process."""
    from torch import distributed

    if code == 0 and distributed.is_initialized():
        distributed.barrier()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
