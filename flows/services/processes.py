"""Find the processes of the services: those this home started, and the one that holds a port."""

from __future__ import annotations

import json
import os
import shlex
import signal
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import psutil

from flows.services.home import home

STOP_SECONDS = 15.0
SHOWN = 100  # characters of a command line


@dataclass(frozen=True)
class Started:
    """A process that this home has started: its id, when it began (seconds since 1970), and the database that it serves."""

    pid: int
    began: float
    serves: str

    def process(self) -> psutil.Process | None:
        """Return the process; None if it has ended, even if another process has its id by now."""
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            if process.create_time() == self.began and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None


def _record() -> Path:
    return home() / "services.json"


def started() -> dict[str, Started]:
    """Return the process of each service that this home has started, by the service's name."""
    found = json.loads(_record().read_text()) if _record().exists() else {}
    return {name: Started(**fields) for name, fields in found.items() if isinstance(fields, dict)}


def remember(name: str, pid: int, serves: str) -> None:
    """Record the process of a service, so later commands such as `folio down` find it."""
    known = {**started(), name: Started(pid, psutil.Process(pid).create_time(), serves)}
    _record().write_text(json.dumps({name: asdict(process) for name, process in known.items()}, indent=1))


def stop() -> list[str]:
    """Stop the services this home started and wait until they have ended. Return their names."""
    running = {name: process for name, known in started().items() if (process := known.process()) is not None}
    for process in running.values():
        _signal(process, signal.SIGTERM)
    for process in psutil.wait_procs(running.values(), timeout=STOP_SECONDS)[1]:
        _signal(process, signal.SIGKILL)
    _record().unlink(missing_ok=True)
    return list(running)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def listener(port: int) -> psutil.Process | None:
    """Return the process that listens on a port of this machine; None if it isn't visible, such as another user's."""
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port and connection.pid:
            with suppress(psutil.NoSuchProcess):
                return psutil.Process(connection.pid)
    return None


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
