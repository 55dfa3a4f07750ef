"""Find the processes of the services: those this home started, and the one that holds a port."""

from __future__ import annotations

import json
import os
import shlex
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from flows.services.home import home
from tasks.stage.system.process_identity import ProcessIdentity

STOP_SECONDS = 15.0
SHOWN = 100  # characters of a command line


@dataclass(frozen=True)
class Started:
    """A process that this home has started, and the database that it serves."""

    identity: ProcessIdentity
    serves: str

    @property
    def pid(self) -> int:
        """Its number, for people."""
        return self.identity.pid

    def process(self) -> psutil.Process | None:
        """Return the process; None if it has ended, whatever has its number now, or is in another container or machine."""
        return self.identity.process()


def _record() -> Path:
    return home() / "services.json"


def started() -> dict[str, Started]:
    """Return the process of each service that this home has started, by the service's name."""
    found = json.loads(_record().read_text()) if _record().exists() else {}
    read = {name: _read(fields) for name, fields in found.items() if isinstance(fields, dict)}
    return {name: process for name, process in read.items() if process is not None}


def _read(fields: dict[str, Any]) -> Started | None:
    """Read a record; from older code it has no identity, but a number and when the process began."""
    if "began" in fields:
        return Started(ProcessIdentity.at(int(fields["pid"]), float(fields["began"])), fields["serves"])
    identity = ProcessIdentity.read(fields.get("process", ""))
    return Started(identity, fields["serves"]) if identity is not None else None


def _write(known: Mapping[str, Started]) -> None:
    plain = {name: {"process": str(process.identity), "serves": process.serves} for name, process in known.items()}
    _record().write_text(json.dumps(plain, indent=1))


def remember(name: str, pid: int, serves: str) -> None:
    """Record the process of a service, so later commands such as `folio down` find it, unless it can't be seen (`ProcessIdentity.of`)."""
    known = {other: service for other, service in started().items() if other != name}
    identity = ProcessIdentity.of(pid)
    _write(known | ({name: Started(identity, serves)} if identity is not None else {}))


def stop() -> list[str]:
    """Stop the services this home started and wait until they have ended. Return their names.

    Those that another container or machine with this home has started are left to it.
    """
    known = started()
    running = {name: process for name, service in known.items() if (process := service.process()) is not None}
    for process in running.values():
        _signal(process, signal.SIGTERM)
    for process in psutil.wait_procs(running.values(), timeout=STOP_SECONDS)[1]:
        _signal(process, signal.SIGKILL)
    if elsewhere := {name: service for name, service in known.items() if not service.identity.can_be_judged()}:
        _write(elsewhere)
    else:
        _record().unlink(missing_ok=True)
    return list(running)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, psutil.NoSuchProcess):
        # A process that leads no group of its own is signalled alone, and never the group that this one belongs to.
        if os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)


def listener(port: int) -> psutil.Process | None:
    """Return the process that listens on a port of this machine; None if it isn't visible, such as another user's."""
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port and connection.pid:
            with suppress(psutil.NoSuchProcess):
                return psutil.Process(connection.pid)
    return None


def standing_workers(url: str) -> dict[int, str]:
    """Return the workers of Prefect on this machine that wait for work from the server at `url`: process id -> command.

    Those of other users, which can't be read, are left out.
    """
    found: dict[int, str] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = process.cmdline()
            if ("worker", "start") not in pairwise(words) or not any(Path(word).name == "prefect" for word in words):
                continue
            if process.environ().get("PREFECT_API_URL", "").removesuffix("/api") == url:
                found[process.pid] = shlex.join(["prefect", *words[words.index("worker") :]])
    return found


def leader(process: psutil.Process) -> psutil.Process:
    """Return the leader of a process's group, which a service was started as."""
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        return psutil.Process(os.getpgid(process.pid))
    return process


def folio_home(process: psutil.Process) -> str:
    """Return the home that a process was started for; "" if it isn't folio's or can't be read."""
    try:
        return process.environ().get("FOLIO_HOME", "")
    except psutil.Error:
        return ""


def database_of(process: psutil.Process) -> str:
    """Return the database that an MLflow server was started with; "" if it can't be read."""
    try:
        words = leader(process).cmdline()
    except psutil.Error:
        return ""
    option = "--backend-store-uri"
    return next((word for before, word in pairwise(words) if before == option), "")


def describe(process: psutil.Process | None) -> str:
    """Name a process: its id, command and home, as far as they can be read."""
    if process is None:
        return "a process that this user can't see"
    try:
        command = shlex.join(leader(process).cmdline())
    except psutil.Error:
        command = "its command can't be read"
    short = command if len(command) <= SHOWN else f"{command[: SHOWN - 3]}..."
    of = f", of the home {found}" if (found := folio_home(process)) else ""
    return f"pid {leader(process).pid} ({short}){of}"


def way_to_stop(process: psutil.Process | None, ours: Path) -> str:
    """Say how to stop the process, if it is another home's."""
    found = folio_home(process) if process is not None else ""
    return f" Or stop it: FOLIO_HOME={shlex.quote(found)} folio down" if found and found != str(ours) else ""
