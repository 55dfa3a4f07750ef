"""The machines of a job: from a hostfile in the format of DeepSpeed and MPI, or from Slurm's environment variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class HostsError(ValueError):
    """The hostfile or Slurm's variables do not describe the machines that the job needs."""


class Host(NamedTuple):
    """A machine and how many workers may run on it."""

    name: str
    slots: int


def read_hostfile(path: Path) -> list[Host]:
    """Read lines `host slots=N` (slots default to 1); # starts a comment."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise HostsError(f"hostfile={path} can't be read ({error.strerror})") from None
    hosts: list[Host] = []
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        name, *rest = words
        slots = re.fullmatch(r"slots=([1-9][0-9]*)", rest[0]) if len(rest) == 1 else None
        if name.startswith("-") or (rest and slots is None):
            raise HostsError(f"{path}, line {number}: {line.strip()!r} is not `host slots=N`")
        if name in (host.name for host in hosts):
            raise HostsError(f"{path}, line {number}: {name} is listed twice; list it once, with all its slots")
        hosts.append(Host(name, int(slots.group(1)) if slots else 1))
    return hosts


def chosen_hosts(path: Path, nodes: int, each: int) -> list[str]:
    """Return the first `nodes` hosts of a hostfile; raise HostsError unless each has at least `each` slots."""
    hosts = read_hostfile(path)[:nodes]
    if len(hosts) < nodes:
        raise HostsError(f"hostfile={path} names {len(hosts)} hosts; nodes={nodes} needs more; add hosts, or use fewer nodes")
    for host in hosts:
        if host.slots < each:
            raise HostsError(
                f"hostfile={path} gives {host.name} slots={host.slots}; {each} workers are to run on it: use fewer workers, or more nodes"
            )
    return [host.name for host in hosts]


def first_of(nodelist: str) -> str:
    """Return the first host of a Slurm node list such as `gpu[03-07,12],login1`."""
    found = re.match(r"([^\[\],]+)(?:\[([^\],-]+)[^\]]*\]([^,]*))?", nodelist)
    if found is None:
        raise HostsError(f"SLURM_NODELIST={nodelist!r} names no host")
    return found[1] + (found[2] or "") + (found[3] or "")


def slurm_environment(environment: Mapping[str, str], port: int) -> dict[str, str]:
    """Translate Slurm's variables to torch's; empty outside Slurm, or if another launcher has set RANK."""
    if "RANK" in environment or "SLURM_PROCID" not in environment:
        return {}
    nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_NODELIST") or environment.get("SLURM_JOB_NODELIST", "")
    tasks_a_node = re.match(r"[0-9]+", environment.get("SLURM_STEP_TASKS_PER_NODE", "") or environment.get("SLURM_TASKS_PER_NODE", ""))
    return {
        "RANK": environment["SLURM_PROCID"],
        "LOCAL_RANK": environment.get("SLURM_LOCALID", "0"),
        "WORLD_SIZE": environment.get("SLURM_NTASKS", "1"),
        "MASTER_ADDR": environment.get("MASTER_ADDR") or first_of(nodes),
        "MASTER_PORT": environment.get("MASTER_PORT") or str(port),
        **({"LOCAL_WORLD_SIZE": tasks_a_node[0]} if tasks_a_node else {}),
    }
