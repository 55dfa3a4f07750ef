"""What is started for a job, by launcher: the command lines and what each is told. Nothing is started here.

local     one process a worker on this machine; they meet through a file
torchrun  one torchrun on this machine; whoever runs it on the other nodes gives `torchrun_command` there
hostfile  one ssh a worker, which needs no password; they meet at the first host's `port`
slurm     one srun inside an allocation, a task a worker; they meet at the first node's `port`

All nodes must see the repository, Python and the job's paths (shards, checkpoints, output) under the same names: a shared file system.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import NamedTuple

from model.training.job import Job
from model.training.launch.hosts import chosen_hosts

ROOT = Path(__file__).resolve().parents[3]
WORKER = "model.training.launch.worker"
# What of the launching environment speaks of the network between nodes.
CARRIED = ("NCCL_", "GLOO_", "UCX_", "FI_")
# A broken connection is noticed after 45 seconds.
SSH = ("ssh", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=3")


class Start(NamedTuple):
    """One process to start. `afar`: the workers behind it run elsewhere, told through its stdin to stop or that nobody waits any more."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    afar: bool = False
    direct: bool = False  # it is a worker itself


def starts(job: Job, job_file: Path) -> list[Start]:
    """What the job's launcher starts from here."""
    parallel = job.resources.parallel
    if parallel.launcher == "torchrun":
        return [
            Start(
                "torchrun", torchrun_command(job, job_file, "model.training.launch.torchrun"), {**_common(job), "FOLIO_REPORTS": "stdout"}
            )
        ]
    if parallel.launcher == "hostfile":
        return _by_ssh(job, job_file)
    if parallel.launcher == "slurm":
        return [Start("srun", srun_command(job, job_file), {**_common(job), "MASTER_PORT": str(parallel.port), **_TOLD_AFAR}, afar=True)]
    lonely = {"GLOO_SOCKET_IFNAME": "lo"} if parallel.workers > 1 and sys.platform.startswith("linux") else {}
    return [
        Start(f"worker {rank}", (sys.executable, "-m", WORKER, str(job_file)), {**_common(job), **lonely, **_rank(job, rank)}, direct=True)
        for rank in range(parallel.workers)
    ]


_TOLD_AFAR = {"FOLIO_LIFELINE": "stdin", "FOLIO_REPORTS": "stdout"}


def _common(job: Job) -> dict[str, str]:
    threads = job.resources.threads
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {"PYTHONPATH": paths, **({"OMP_NUM_THREADS": str(threads)} if threads else {})}


def _rank(job: Job, rank: int) -> dict[str, str]:
    each = job.resources.parallel.workers_a_node
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank % each),
        "LOCAL_WORLD_SIZE": str(each),
        "WORLD_SIZE": str(job.resources.parallel.workers),
    }


def torchrun_command(job: Job, job_file: Path, module: str = "torch.distributed.run") -> tuple[str, ...]:
    """The same on every node. A worker that fails is not started again: the job is, from its checkpoint."""
    parallel = job.resources.parallel
    options = {
        "nnodes": parallel.nodes,
        "nproc-per-node": parallel.workers_a_node,
        "rdzv-backend": "c10d",
        "rdzv-endpoint": parallel.rendezvous,
        "rdzv-id": f"folio-{job.identity()[:12]}",
        "max-restarts": 0,
    }
    return (sys.executable, "-m", module, *(f"--{name}={value}" for name, value in options.items()), "-m", WORKER, str(job_file))


def srun_command(job: Job, job_file: Path) -> tuple[str, ...]:
    """One step of the allocation that folio runs in."""
    parallel = job.resources.parallel
    layout = (f"--nodes={parallel.nodes}", f"--ntasks={parallel.workers}", f"--ntasks-per-node={parallel.workers_a_node}")
    return ("srun", *layout, "--kill-on-bad-exit=1", f"--chdir={ROOT}", sys.executable, "-m", WORKER, str(job_file))


def _by_ssh(job: Job, job_file: Path) -> list[Start]:
    parallel = job.resources.parallel
    hosts = chosen_hosts(Path(parallel.hostfile), parallel.nodes, parallel.workers_a_node)
    carried = {name: value for name, value in os.environ.items() if name.startswith(CARRIED)}
    meeting = {"MASTER_ADDR": hosts[0], "MASTER_PORT": str(parallel.port)}
    found = []
    for rank in range(parallel.workers):
        host = hosts[rank // parallel.workers_a_node]
        told = {**carried, **_common(job), **_rank(job, rank), **meeting, **_TOLD_AFAR}
        words = [f"{name}={value}" for name, value in told.items()] + [sys.executable, "-m", WORKER, str(job_file)]
        remote = f"cd {shlex.quote(str(ROOT))} && exec env {shlex.join(words)}"
        found.append(Start(f"worker {rank} on {host}", (*SSH, host, remote), {}, afar=True))
    return found
