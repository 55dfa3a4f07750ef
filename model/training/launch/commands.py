"""The command lines that each launcher starts for a job, with their environment. Nothing is started here.

local     one worker: the worker itself, a direct child; several: one torchrun
torchrun  one torchrun on this machine; `torchrun_command` is to be given by hand on each of the other nodes
hostfile  one torchrun per host, through an ssh that needs no password; they meet at the first host's `port`
slurm     one srun inside an allocation, one task per worker; they meet at the first node's `port`

torchrun sets ranks and the meeting point, picks a free port on one machine, and ends all workers when one fails. It is a second process
that imports torch, about three seconds before the workers start theirs; a single worker does not need it and runs without.

All nodes must see the repository, Python and the job's paths (shards, checkpoints, output) under the same names: a shared file system."""

from __future__ import annotations

import math
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from model.hardware.devices import STRICT
from model.hardware.waiting import CHOSEN
from model.training.job import Job
from model.training.launch.hosts import chosen_hosts

TUNABLES = "GLIBC_TUNABLES"
ALLOCATOR = "glibc.malloc."
# No block of its own for a large tensor, nothing returned before the end, large pages.
KEPT = {"mmap_max": 0, "trim_threshold": 2**40, "hugetlb": 1}


def worker_environment() -> dict[str, str]:
    """Return how threads wait and share products, as the launcher was told, and how glibc treats freed memory, unless the user chose."""
    return {**_threads(), **_memory()}


def _threads() -> dict[str, str]:
    """Return what this process was told of threads; workers elsewhere follow it too.

    Untold how to wait, each worker chooses by the load of its machine, and again as it runs (`model/hardware/waiting.py`).
    """
    return {name: os.environ[name] for name in (*CHOSEN, STRICT) if name in os.environ}


def _memory() -> dict[str, str]:
    """Return settings of glibc's allocator by which a worker keeps the memory that it has freed; other C libraries ignore them.

    By default glibc returns a large tensor's memory to the system, which gives it back page by page, wiped: every step of a CPU pays
    for its activations and logits anew. A worker makes the same tensors in every step, so it needs no more memory for keeping them.
    """
    own = os.environ.get(TUNABLES, "")
    if ALLOCATOR in own:
        return {TUNABLES: own}
    return {TUNABLES: ":".join(filter(None, (own, *(f"{ALLOCATOR}{name}={value}" for name, value in KEPT.items()))))}


ROOT = Path(__file__).resolve().parents[3]
CUBLAS_WORKSPACE = ":4096:8"  # eight of 4 MiB: with buffers of one size cuBLAS adds in one order
WORKER = "model.training.launch.worker"
TORCHRUN = "model.training.launch.torchrun"
# Environment variables that describe the network between nodes; ssh does not pass them on by itself.
NETWORK = ("NCCL_", "GLOO_", "UCX_", "FI_")
# With these intervals a broken connection is noticed after 45 seconds.
SSH = ("ssh", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=3")
ALONE = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}
REMOTE = {"FOLIO_LIFELINE": "stdin", "FOLIO_REPORTS": "stdout"}


class Command(NamedTuple):
    """One process to start. `remote`: its workers run on other machines, and are controlled through its stdin."""

    name: str
    words: tuple[str, ...]
    environment: dict[str, str]
    remote: bool = False
    host: str = ""


def commands(job: Job, job_file: Path) -> list[Command]:
    """Return what the job's launcher starts on this machine."""
    parallel = job.resources.parallel
    match parallel.launcher:
        case "hostfile":
            return _over_ssh(job, job_file)
        case "slurm":
            environment = {**_common(job), **REMOTE, "MASTER_PORT": str(parallel.port)}
            return [Command("srun", srun_command(job, job_file), environment, remote=True)]
        case "torchrun":
            return [Command("torchrun", torchrun_command(job, job_file, TORCHRUN), _common(job))]
    if parallel.workers == 1:
        return [Command("worker 0", (sys.executable, "-m", WORKER, str(job_file)), {**_common(job), **ALONE})]
    loopback = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform.startswith("linux") else {}
    return [Command("torchrun", _standalone(job, job_file), {**_common(job), **loopback})]


def torchrun_command(job: Job, job_file: Path, module: str = "torch.distributed.run") -> tuple[str, ...]:
    """The torchrun command for each node of launcher=torchrun, the same on all."""
    parallel = job.resources.parallel
    meeting = {"rdzv-backend": "c10d", "rdzv-endpoint": parallel.rendezvous, "rdzv-conf": f"join_timeout={_meet_seconds(job)}"}
    return _torchrun(job, job_file, module, meeting)


def srun_command(job: Job, job_file: Path) -> tuple[str, ...]:
    """One step of the allocation that folio runs in."""
    parallel = job.resources.parallel
    layout = (f"--nodes={parallel.nodes}", f"--ntasks={parallel.workers}", f"--ntasks-per-node={parallel.workers_per_node}")
    return ("srun", *layout, "--kill-on-bad-exit=1", f"--chdir={ROOT}", sys.executable, "-m", WORKER, str(job_file))


def _standalone(job: Job, job_file: Path) -> tuple[str, ...]:
    # Port 0: torchrun takes one that is free.
    return _torchrun(job, job_file, TORCHRUN, {"rdzv-backend": "c10d", "rdzv-endpoint": "localhost:0", "local-addr": "127.0.0.1"})


def _over_ssh(job: Job, job_file: Path) -> list[Command]:
    parallel = job.resources.parallel
    hosts = chosen_hosts(Path(parallel.hostfile), parallel.nodes, parallel.workers_per_node)
    network = {name: value for name, value in os.environ.items() if name.startswith(NETWORK)}
    environment = [f"{name}={value}" for name, value in {**network, **_common(job), **REMOTE}.items()]
    found = []
    for number, host in enumerate(hosts):
        # The static rendezvous gives each node the ranks of its place in the hostfile.
        meeting = {
            "node-rank": number,
            "rdzv-backend": "static",
            "rdzv-endpoint": f"{hosts[0]}:{parallel.port}",
            "rdzv-conf": f"timeout={_meet_seconds(job)}",
        }
        words = [*environment, *_torchrun(job, job_file, TORCHRUN, meeting)]
        remote = f"cd {shlex.quote(str(ROOT))} && exec env {shlex.join(words)}"
        found.append(Command(f"torchrun on {host}", (*SSH, host, remote), {}, remote=True, host=host))
    return found


def _torchrun(job: Job, job_file: Path, module: str, meeting: Mapping[str, object]) -> tuple[str, ...]:
    parallel = job.resources.parallel
    options: dict[str, object] = {
        "nnodes": parallel.nodes,
        "nproc-per-node": parallel.workers_per_node,
        **meeting,
        "rdzv-id": f"folio-{job.identity()[:12]}",
        # A failed worker is not restarted by itself: the job is, from its checkpoint.
        "max-restarts": 0,
    }
    return (sys.executable, "-m", module, *(f"--{name}={value}" for name, value in options.items()), "-m", WORKER, str(job_file))


def _common(job: Job) -> dict[str, str]:
    threads = job.resources.threads
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    # What workers log is shown to people; no stage reads it, so its words are no part of an identity.
    shown = {"FOLIO_STANDARD_ERROR": "*"}
    fixed = {"CUBLAS_WORKSPACE_CONFIG": CUBLAS_WORKSPACE} if job.resources.deterministic else {}
    counted = {"OMP_NUM_THREADS": str(threads)} if threads else {}
    return {"PYTHONPATH": paths, **shown, **worker_environment(), **fixed, **counted}


def _meet_seconds(job: Job) -> int:
    return math.ceil(job.resources.parallel.meet_seconds)
