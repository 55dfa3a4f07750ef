"""Fork a fresh process for each execution of a stage, from a server that has loaded libraries but no module of the repository.

So no repository module is imported, cached or changed before a body starts, and it starts within some 0.1 s although it uses torch and
DuckDB. Bodies share the libraries' memory, some 300 MB.

Nothing outlives the process that started the server: when that is gone for any reason, the server kills each body with its process group
and exits; when the server is killed, the kernel kills the bodies. A body's group is also killed when the body itself has ended.

`run_body` starts this file by its path and talks to it. It imports only the standard library.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, NoReturn

ROOT = Path(__file__).resolve().parents[4]
PACKAGE = "tasks"
"""The top-level package that this library is a part of, whatever project it serves."""
RECORDER = "tasks.stage.identity.tracing.recorder"
CHANNEL, ERRORS = "tasks.stage.execution.bodies.channel", "tasks.stage.execution.bodies.body_errors"
BODY = "tasks.stage.execution.bodies.body_process"
PR_SET_PDEATHSIG = 1
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Tools(NamedTuple):
    """The repository's modules that a forked process uses before it records, as they were when the server started."""

    recorder: Any
    channel: Any
    errors: Any


class Server:
    """Forks processes until the control socket closes."""

    def __init__(self, control: socket.socket, tools: Tools) -> None:
        self._control, self._tools, self._pid = control, tools, os.getpid()
        # A run's signals are for the run, which passes on what concerns a body. Under nohup a body ignores a hang-up, as its run does.
        self._heeded = [number for number in STOPPING if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN]
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN)
        # Cluster workers start with some of them blocked.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wake, False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._wake)
        self._prctl = ctypes.CDLL(None).prctl if sys.platform.startswith("linux") else None
        self._children: dict[int, int] = {}

    def serve(self) -> None:
        """Handle commands: `fork` with four descriptors, and `signal PID NUMBER`. In a forked process it does not return."""
        while True:
            watched: list[Any] = [self._control, self._woken]
            ready = select.select(watched, [], [])[0]
            if self._woken in ready:
                os.read(self._woken, 1 << 16)
                self._reap()
            if self._control in ready:
                message, descriptors, _, _ = socket.recv_fds(self._control, 256, 4)
                if not message:
                    break
                if message == b"fork":
                    self._fork(*descriptors)
                else:
                    pid, number = map(int, message.split()[1:])
                    if pid in self._children:
                        _kill(pid, number)
        for child in self._children:
            _kill(child, signal.SIGKILL)

    def _fork(self, channel: int, reports: int, output: int, errors: int) -> None:
        pid = os.fork()
        if pid == 0:
            self._leave(reports)
            for descriptor, target in ((output, 1), (errors, 2)):
                os.dup2(descriptor, target)
                os.close(descriptor)
            os.set_inheritable(channel, False)
            for number in (*self._heeded, signal.SIGCHLD):
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
            _become_body(socket.socket(fileno=channel), self._tools)
        with suppress(ProcessLookupError, PermissionError):  # it has done so itself
            os.setpgid(pid, pid)
        for descriptor in (channel, output, errors):
            os.close(descriptor)
        os.set_inheritable(reports, False)
        self._children[pid] = reports
        _tell(reports, {"pid": pid})

    def _leave(self, reports: int) -> None:
        """Cut a forked process off from the server, except that it dies with it."""
        signal.set_wakeup_fd(-1)
        if self._prctl is not None:
            self._prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self._pid:
            os._exit(1)
        os.setpgid(0, 0)
        for descriptor in (self._control.detach(), self._woken, self._wake, reports, *self._children.values()):
            os.close(descriptor)

    def _reap(self) -> None:
        while self._children:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            # Also kill processes that the body left behind.
            _kill(pid, signal.SIGKILL)
            reports = self._children.pop(pid)
            _tell(reports, {"status": status, "cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_bytes": usage.ru_maxrss << 10})
            os.close(reports)


def load_libraries(libraries: list[str], packages: list[str]) -> None:
    """Import the libraries that bodies share, if installed. Raises RuntimeError if one of them imports a package of the repository."""
    for name in libraries:
        with suppress(ModuleNotFoundError):
            importlib.import_module(name)
    if ours := [name for name in packages if name in sys.modules]:
        raise RuntimeError(f"a library has imported {', '.join(ours)} before folio began to trace; remove that package")
    gc.collect()
    # A collection in a forked process would copy every page that it shares with this one.
    gc.freeze()


def load_tools(packages: list[str]) -> Tools:
    """Load the tools now, so later edits don't affect a run; forked processes don't find them imported."""
    sys.path.insert(0, str(ROOT))
    tools = Tools(*(importlib.import_module(name) for name in (RECORDER, CHANNEL, ERRORS)))
    sys.path.remove(str(ROOT))
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        del sys.modules[name]
    gc.freeze()
    return tools


def _kill(pid: int, number: int) -> None:
    """Send a signal to a process; SIGKILL to its group."""
    with suppress(ProcessLookupError):
        (os.killpg if number == signal.SIGKILL else os.kill)(pid, number)


def _tell(reports: int, message: dict[str, float]) -> None:
    with suppress(BrokenPipeError):  # the thread that asked was interrupted
        os.write(reports, json.dumps(message).encode() + b"\n")


def _become_body(connection: socket.socket, tools: Tools) -> NoReturn:
    """Read the request, take on the surroundings of the run, begin to record, and hand over to the body process.

    The run is told of an error on the way there; the body process tells it of all others.
    """
    code, body = 1, None
    channel = tools.channel.Channel(connection)
    try:
        sys.modules["__main__"] = ModuleType("__main__")
        if (request := channel.receive()) is not None:
            os.environ.clear()
            os.environ.update(request["environment"])
            os.chdir(request["directory"])
            sys.path[:] = request["path"]
            tools.recorder.install(Path(request["marks"]), Path(request["snapshot"]))
            body = importlib.import_module(BODY)
            body.main(connection, request)
            tools.recorder.settle()
            code = 0
    except KeyboardInterrupt:
        pass  # the run was interrupted before the body began
    except BaseException as error:  # noqa: BLE001  # reported to the run
        if body is None:
            with suppress(OSError):  # the run is gone
                channel.send({"kind": "failed", **tools.errors.describe(error)})
        else:
            traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        # An interpreter that has loaded torch takes long to end, and the run has its answer.
        os._exit(code)


if __name__ == "__main__":
    ours = [PACKAGE, *json.loads(sys.argv[2])]
    load_libraries(json.loads(sys.argv[3]), ours)
    Server(socket.socket(fileno=int(sys.argv[1])), load_tools(ours)).serve()
