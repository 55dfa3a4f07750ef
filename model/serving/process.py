"""Run the process of a program with an OpenAI-compatible server: started, waited for, and ended with its children."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

import httpx

START_SECONDS = 300.0
KEY, PARENT = "FOLIO_CHILD_KEY", "FOLIO_CHILD_PARENT"


class ChildError(ValueError):
    """The program that computes a model did not start."""


class Child:
    """The process of a program with an OpenAI-compatible server. {port} in `command` becomes a free one; its key is in the environment."""

    def __init__(self, command: Sequence[str], label: str) -> None:
        self.label, self.key, self.port = label, secrets.token_hex(16), _free_port()
        line = [part.replace("{port}", str(self.port)) for part in command]
        self._process = subprocess.Popen(
            line,
            env={**os.environ, KEY: self.key, PARENT: str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """The address that it listens on."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process and its children."""
        for number, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
            if not self.alive:
                return
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if not self.alive:
                raise ChildError(
                    f"{self.label} ended with exit code {self._process.returncode} before it could answer; its words are above"
                )
            with suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/health", timeout=2).status_code == 200:
                    return
            time.sleep(0.1)
        raise ChildError(f"{self.label} did not answer within {START_SECONDS:g} seconds")


def python(module: str, *arguments: str) -> list[str]:
    """Return the command line of a module in this environment."""
    return [sys.executable, "-m", module, *arguments]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
