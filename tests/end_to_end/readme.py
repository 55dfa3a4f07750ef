"""The shell blocks of the READMEs, and how their lines are run."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
READMES = {
    folder: (ROOT / folder / "README.md").read_text(encoding="utf-8")
    for folder in ("", "data", "model", "flows", "tasks", "deployments", "tests")
}


def commands(text: str) -> list[list[str]]:
    """Return the commands of each shell block, without their comments."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [[line.split("  #")[0].strip() for line in block.splitlines() if line.strip() and line[0] != " "] for block in blocks]


def block(heading: str, folder: str = "") -> list[str]:
    """Return the commands of the first shell block under a heading of a folder's README."""
    return commands(READMES[folder].split(f"## {heading}\n", 1)[1])[0]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def shell(command: str, environment: dict[str, str], timeout: float = 600) -> str:
    """Run one line in a shell at the root of the repository. Return its output; fail with it if the line fails."""
    done = subprocess.run(["bash", "-c", command], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@contextmanager
def standing(command: str, environment: dict[str, str]) -> Iterator[None]:
    """Run a line that ends only when it is told to, such as a worker, while the block lasts."""
    process = subprocess.Popen(["bash", "-c", command], env=environment, cwd=ROOT, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(60)


def wait_until(text: str, command: str, environment: dict[str, str], timeout: float = 180) -> None:
    """Repeat a line until its output holds a text."""
    deadline = time.monotonic() + timeout
    while text not in (said := shell(command, environment)):
        assert time.monotonic() < deadline, said
        time.sleep(1)


@contextmanager
def own_servers(folder: Path) -> Iterator[dict[str, str]]:
    """An environment with `folder` as folio's home and servers of its own, without settings of Prefect or MLflow."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_", "FOLIO_"))}
    paths = {"FOLIO_HOME": str(folder), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    ports = {"FOLIO_PREFECT_PORT": str(free_port()), "FOLIO_MLFLOW_PORT": str(free_port()), "FOLIO_PAGE_PORT": str(free_port())}
    environment = {**kept, **paths, **ports, "PREFECT_WORKER_QUERY_SECONDS": "1", "COLUMNS": "200"}
    yield environment
    shell("folio down", environment)
