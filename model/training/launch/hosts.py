"""Which machines there are: from a hostfile as DeepSpeed and MPI write it, or from what Slurm tells its tasks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class HostsError(ValueError):
    """The description of the machines does not say what is needed."""


class Host(NamedTuple):
    """A machine, and how many workers may run on it."""

    name: str
    slots: int


def read_hostfile(path: Path) -> list[Host]:
    """Lines `host slots=N` (without slots: 1); what follows a # is a comment."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise HostsError(f"hostfile={path} can't be read ({error.strerror})") from None
    hosts: list[Host] = []
    for number, line in enumerate(lines, 1):
        said = line.partition("#")[0].split()
        if not said:
            continue
        name, *rest = said
        slots = re.fullmatch(r"slots=([1-9][0-9]*)", rest[0]) if len(rest) == 1 else None
        if name.startswith("-") or (rest and slots is None):
            raise HostsError(f"{path}, line {number}: {line.strip()!r} is not `host slots=N`")
        if name in (host.name for host in hosts):
            raise HostsError(f"{path}, line {number}: {name} stands there twice; give it once, with all its slots")
        hosts.append(Host(name, int(slots.group(1)) if slots else 1))
    return hosts


def chosen_hosts(path: Path, nodes: int, each: int) -> list[str]:
    """The first `nodes` hosts of a hostfile, each of which must have `each` slots."""
    hosts = read_hostfile(path)[:nodes]
    if len(hosts) < nodes:
        raise HostsError(f"hostfile={path} names {len(hosts)} hosts; nodes={nodes} asks for more: add hosts, or use fewer nodes")
    for host in hosts:
        if host.slots < each:
            raise HostsError(
                f"hostfile={path} gives {host.name} slots={host.slots}; {each} workers are to run on it: use fewer, or more nodes"
            )
    return [host.name for host in hosts]


def first_of(nodelist: str) -> str:
    """The first host of a Slurm node list such as `gpu[03-07,12],login1`."""
    found = re.match(r"([^\[\],]+)(?:\[([^\],-]+)[^\]]*\]([^,]*))?", nodelist)
    if found is None:
        raise HostsError(f"SLURM_NODELIST={nodelist!r} names no host")
    return found[1] + (found[2] or "") + (found[3] or "")


def slurm_environment(told: Mapping[str, str], port: int) -> dict[str, str]:
    """What Slurm tells a task, in the words of torch; empty where another launcher has spoken, or none."""
    if "RANK" in told or "SLURM_PROCID" not in told:
        return {}
    nodes = told.get("SLURM_STEP_NODELIST") or told.get("SLURM_NODELIST") or told.get("SLURM_JOB_NODELIST", "")
    tasks_a_node = re.match(r"[0-9]+", told.get("SLURM_STEP_TASKS_PER_NODE", "") or told.get("SLURM_TASKS_PER_NODE", ""))
    return {
        "RANK": told["SLURM_PROCID"],
        "LOCAL_RANK": told.get("SLURM_LOCALID", "0"),
        "WORLD_SIZE": told.get("SLURM_NTASKS", "1"),
        "MASTER_ADDR": told.get("MASTER_ADDR") or first_of(nodes),
        "MASTER_PORT": told.get("MASTER_PORT") or str(port),
        **({"LOCAL_WORLD_SIZE": tasks_a_node[0]} if tasks_a_node else {}),
    }
