"""Get fresh processes from a fork server, which is started with the first one.

Each process that executes stages (a run, a worker of a cluster) has one server. Starting it costs two to four seconds, the import of the
libraries that `fork_server` lists.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from tasks.stage.execution.run_log import copy_output
from tasks.stage.system.process_identity import ProcessIdentity
from tasks.stage.system.subprocesses import RUN

LAST_WORDS_SECONDS = 1.0  # for what is left in a pipe, unless a process that has left the body's group holds it open
PROGRAM = Path(__file__).with_name("fork_server.py")


class Ended(NamedTuple):
    """How a process ended: its exit code, negative for a signal, and what it and its ended children used."""

    code: int
    cpu_seconds: float
    peak_bytes: int


class ServerLost(RuntimeError):
    """The process that forks bodies has died."""


class ForkedProcess:
    """A process that the server has forked; killed when the block ends. `connection`: our end of the socket that it was given."""

    def __init__(self, server: ForkServer, connection: socket.socket, reports: int, copiers: Sequence[threading.Thread] = ()) -> None:
        self.connection, self._copiers = connection, copiers
        self._server, self._reports, self._ended = server, os.fdopen(reports, "rb"), False
        self.pid = int(self._report()["pid"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if not self._ended:
                with suppress(ServerLost):
                    self.signal(signal.SIGKILL)
                    self.wait()
        finally:
            self.connection.close()
            self._reports.close()
            for copier in self._copiers:
                copier.join(LAST_WORDS_SECONDS)

    def signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if not self._ended:
            self._server.send(b"signal %d %d" % (self.pid, number))

    def wait(self) -> Ended:
        """Return how the process ended, once it has and its process group is gone. Raises ServerLost."""
        report = self._report()
        self._ended = True
        return Ended(os.waitstatus_to_exitcode(int(report["status"])), report["cpu_seconds"], int(report["peak_bytes"]))

    def _report(self) -> dict[str, float]:
        line = self._reports.readline()
        if not line:
            raise ServerLost("the process that starts stages was killed from outside, or the machine ran short of memory")
        report: dict[str, float] = json.loads(line)
        return report


class ForkServer:
    """Starts the server and asks it for processes."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._owner = ProcessIdentity.this()
        # Bodies, and all that they start, carry in their environment which process they are to end with.
        environment = {**os.environ, RUN: str(self._owner)}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(PROGRAM), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        self._control = ours

    def alive(self) -> bool:
        """Return whether the server still runs, and was started by this process."""
        return self._owner.is_this_process() and self._process.poll() is None

    def fork(self, label: str = "") -> ForkedProcess:
        """Return a new process, which waits for its request. Its output goes to the run's log under a label. Raises ServerLost."""
        connection, theirs = socket.socketpair()
        reports, writer = os.pipe()
        try:
            with theirs:
                outputs = [copy_output(stream, label) for stream in (1, 2)]
                try:
                    self.send(b"fork", [theirs.fileno(), writer, *(descriptor for descriptor, _ in outputs)])
                finally:
                    for descriptor in (writer, *(descriptor for descriptor, _ in outputs)):
                        os.close(descriptor)
            return ForkedProcess(self, connection, reports, [thread for _, thread in outputs if thread is not None])
        except BaseException:
            connection.close()
            raise

    def send(self, message: bytes, descriptors: list[int] | None = None) -> None:
        """Send a command. Raises ServerLost."""
        try:
            socket.send_fds(self._control, [message], descriptors or [])
        except OSError as error:
            raise ServerLost(f"the process that starts stages is gone ({error.strerror})") from None

    def close(self) -> None:
        """End the server and all its processes."""
        self._control.close()
        self._process.wait()


_server: ForkServer | None = None
_starting = threading.Lock()


def fork_server() -> ForkServer:
    """Return this process's server, started if there is none."""
    global _server
    with _starting:
        if _server is None or not _server.alive():
            _server = ForkServer()
            atexit.register(_server.close)
        return _server
