"""The Prefect server of a session of tests, one for all its processes: `python -m tests.prefect_server PORT FOLDER PID`.

Keeps what it knows in FOLDER, and ends when the process PID, the session's first, has ended.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil

from tasks.stage.system.locks import local_lock

HOST = "127.0.0.1"
START_SECONDS = 300
# Below the ports that a system hands out, so no test is given it.
PORTS = range(20_000, 30_000)
# Loops of a server that no test asks anything of, and that never rest.
IDLE = ("CANCELLATION_CLEANUP", "CLEANUP_RECONCILER", "FOREMAN", "LATE_RUNS", "PAUSE_EXPIRATIONS", "REPOSSESSOR", "SCHEDULER", "TRIGGERS")


def free_port() -> int:
    """Return a port of `PORTS` that nothing listens on; two sessions begin to look at different ones."""
    for number in range(len(PORTS)):
        port = PORTS[(os.getpid() * 7 + number) % len(PORTS)]
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)):
                return port
    raise OSError(f"every port from {PORTS.start} to {PORTS.stop - 1} is taken")


def ensure(port: int, folder: Path, session: int) -> None:
    """Start the server of a session unless it runs, and return once it answers."""
    lock = folder / "prefect.lock"
    lock.touch()
    with local_lock(lock, lambda: None):
        if not (folder / "prefect").exists():
            (folder / "prefect").mkdir()
            command = [sys.executable, "-m", "tests.prefect_server", str(port), str(folder / "prefect"), str(session)]
            with (folder / "prefect.log").open("wb") as said:
                subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True)
        until = time.monotonic() + START_SECONDS
        while not _answers(port):
            if time.monotonic() > until:
                raise TimeoutError(f"the Prefect server of the tests does not answer: {(folder / 'prefect.log').read_text()[-2000:]}")
            time.sleep(0.1)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/api/health", timeout=5):
            return True
    except OSError:
        return False


def main(port: str, folder: str, session: str) -> None:
    """Serve while the session lives."""
    off = {f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false" for name in IDLE}
    said = {"PREFECT_SERVER_LOG_RETRYABLE_ERRORS": "true"}
    environment = {**os.environ, **off, **said, "PREFECT_HOME": folder, "PREFECT_SERVER_UI_ENABLED": "false"}
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", port]
    with subprocess.Popen(command, env=environment) as server:
        while server.poll() is None and psutil.pid_exists(int(session)):
            time.sleep(1)
        server.terminate()


if __name__ == "__main__":
    main(*sys.argv[1:])
