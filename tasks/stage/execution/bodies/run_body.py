"""Execute the body of a stage in a fresh process, and stand in for it in this one.

The body's logs, progress and series are passed on as they come; its metrics are returned, its error is raised. An exception here meanwhile
(Ctrl-C, Prefect's termination) first interrupts the body, waits for it to end, and takes over its notes, which say what was kept. When
`run_body` has returned or raised, no process that the body started is alive.

Processes come from a fork server, one for each process that executes stages (a run, a worker of a cluster). Starting it costs two to four
seconds, the import of the libraries that `fork_server` lists.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self, get_type_hints

from pydantic import BaseModel

from tasks.stage.execution.bodies.body_errors import rebuild
from tasks.stage.execution.bodies.channel import Channel, Message
from tasks.stage.execution.live_runs import copy_output, log_progress
from tasks.stage.execution.resources import Resources
from tasks.stage.identity.tracing.marks import Marks
from tasks.stage.identity.tracing.source import Project
from tasks.stage.system.interrupts import RUN, record_interrupt
from tasks.stage.system.locks import Lock
from tasks.stage.system.process_identity import ProcessIdentity
from tasks.stage.system.progress import ProgressMeter
from tasks.stage.workspace import Body, Metrics, ShardIndex

LAST_WORDS_SECONDS = 1.0  # for what is left in a pipe, unless a process that has left the body's group holds it open
PROGRAM = Path(__file__).with_name("fork_server.py")


class Ended(NamedTuple):
    """The end of a process: its exit code, negative for a signal, and what it and its ended children used."""

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

    def __init__(self, project: Project) -> None:
        """`project`: whose libraries it loads, and of whose packages it finds none imported."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._owner = ProcessIdentity.this()
        # Bodies, and all that they start, carry in their environment which process they are to end with.
        environment = {**os.environ, RUN: str(self._owner)}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(PROGRAM), str(theirs.fileno()), json.dumps(project.packages), json.dumps(project.libraries)],
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


_servers: dict[tuple[tuple[str, ...], tuple[str, ...]], ForkServer] = {}
_starting = threading.Lock()


def fork_server(project: Project) -> ForkServer:
    """Return this process's server for a project's packages and libraries, started if there is none."""
    kind = (project.packages, project.libraries)
    with _starting:
        if kind not in _servers or not _servers[kind].alive():
            _servers[kind] = ForkServer(project)
            atexit.register(_servers[kind].close)
        return _servers[kind]


class BodyLost(RuntimeError):
    """The process that executed a stage was killed."""


class ConfigNotPortable(TypeError):
    """A config can't be rebuilt unchanged in another process."""


@dataclass(frozen=True)
class BodyCall:
    """A body and what it is given. `snapshot`: the source to execute; `marks`: where to mark what is executed of it; `folders`: the folders
    of its workspace by name.
    """

    position: str
    project: Project
    snapshot: Path
    marks: Path
    body: Body
    entry: str
    config: BaseModel
    inputs: Mapping[str, Path | list[Path]]
    folders: Mapping[str, Path]
    resources: Resources
    digests: Mapping[str, str]
    observed: Mapping[str, str]
    shard: ShardIndex | None


@dataclass(frozen=True)
class Listener:
    """The receiver of a body's reports while it works. `lock`: the right to execute it; once that is lost, the body is interrupted."""

    meter: ProgressMeter
    series: Callable[[list[tuple[str, float, int]]], None]
    uses: Callable[[int], None]
    lock: Lock


class Executed(NamedTuple):
    """A body's result, what it executed and read, and the processor time and memory that its process took."""

    metrics: Metrics
    marks: Marks
    cpu_seconds: float
    peak_bytes: int


def run_body(call: BodyCall, listener: Listener) -> Executed:
    """Execute a body and return its metrics. Raises what the body raises, BodyLost if its process is killed, and MissingMarks."""
    request = _request(call)
    with fork_server(call.project).fork(call.position) as process:
        channel = Channel(process.connection)
        try:
            channel.send(request)
            answer = _follow(channel, listener)
        except BaseException as error:
            _stop(process, channel, listener, error)
            raise
        try:
            ended = process.wait()
        except ServerLost as error:
            raise BodyLost(f"{call.position}: {error}") from error
    if answer is None or (answer["kind"] == "done" and ended.code != 0):
        how = f"was ended by signal {-ended.code} ({signal.strsignal(-ended.code)})" if ended.code < 0 else f"ended with code {ended.code}"
        raise BodyLost(
            f"{call.position}: the process that executed it {how}. If memory ran short, lower resources.memory or resources.threads. "
            "Finished work is kept; run the same command again to continue."
        )
    if answer["kind"] == "failed":
        raise rebuild(answer)
    if answer["interrupted"]:
        # It arrived where Python loses it, so the run has to stop before its next stage.
        record_interrupt()
    return Executed(answer["metrics"], Marks.read(call.marks), ended.cpu_seconds, ended.peak_bytes)


def _follow(channel: Channel, listener: Listener, *, stopping: bool = False) -> Message | None:
    """Pass on what a body reports; return its last message, or None if it died. Raises LeaseLost, unless the body is being stopped."""
    while (message := channel.receive()) is not None:
        kind = message["kind"]
        if kind in ("done", "failed"):
            return message
        if listener.lock.lost() and not stopping:
            listener.lock.require(listener.meter.label)
        if kind == "progress":
            shown = (message["done"], message["total"], message["note"], message["seconds_left"])
            listener.meter.show(*shown)
            if listener.meter.terminal:  # elsewhere it is logged unchanged
                log_progress(listener.meter.label, *shown)
        elif kind == "series":
            listener.series([(name, value, step) for name, value, step in message["rows"]])
        elif kind == "uses":
            listener.uses(message["devices"])
        else:
            logging.getLogger(message["logger"]).log(message["level"], "%s", message["text"])
    return None


def _stop(process: ForkedProcess, channel: Channel, listener: Listener, error: BaseException) -> None:
    """Interrupt a body and wait until it has stopped."""
    with suppress(ServerLost):  # then the body is gone as well
        process.signal(signal.SIGINT)
    answer = _follow(channel, listener, stopping=True)
    if answer is not None and answer["kind"] == "failed":
        for note in answer["notes"]:
            error.add_note(note)


def _request(call: BodyCall) -> Message:
    resources = call.resources.model_copy(update={"threads": call.resources.cores})
    return {
        "environment": {**call.project.environment, **os.environ, RUN: str(ProcessIdentity.this())},
        "directory": os.getcwd(),  # noqa: PTH109  # as text
        "path": sys.path,
        "snapshot": str(call.snapshot),
        "marks": str(call.marks),
        "body": [call.body.__module__, call.body.__qualname__],
        "entry": call.entry,
        "config": _value(call.config, _config_class(call), call.position),
        "resources": _value(resources, type(resources), call.position),
        "inputs": {name: [str(i) for i in value] if isinstance(value, list) else str(value) for name, value in call.inputs.items()},
        "workspace": {
            **{name: str(path) for name, path in call.folders.items()},
            "threads": resources.threads,
            "memory": resources.memory,
            "label": call.position,
            "digests": dict(call.digests),
            "observed": dict(call.observed),
            "shard": [call.shard.number, call.shard.count] if call.shard else None,
        },
    }


def _config_class(call: BodyCall) -> type[BaseModel]:
    """Return the class that the body declares, if the config adds no field to it: a recipe's own, with other defaults, is not needed."""
    own = type(call.config)
    try:
        declared = get_type_hints(call.body).get("config")
    except NameError:  # a name that only type checkers see
        return own
    if not isinstance(declared, type) or not issubclass(declared, BaseModel) or not issubclass(own, declared):
        return own
    return declared if declared.model_fields.keys() == own.model_fields.keys() else own


def _value(model: BaseModel, kind: type[BaseModel], position: str) -> Message:
    """Return a pydantic value with its class; the members of every mapping in the order in which a key has them.

    Raises ConfigNotPortable if what is read back is not equal.
    """
    plain = model.model_dump(mode="json", by_alias=False, round_trip=True)
    text = json.dumps(plain, sort_keys=True)
    if "<locals>" in kind.__qualname__:
        raise ConfigNotPortable(f"{position}: {kind.__qualname__} is defined inside a function; move it to the top of its module")
    if kind.model_validate_json(text).model_dump(mode="json", by_alias=False, round_trip=True) != plain:
        raise ConfigNotPortable(
            f"{position}: a {kind.__qualname__} changes when it is written as JSON and read again, so no process can get it"
        )
    return {"class": [kind.__module__, kind.__qualname__], "value": text}
