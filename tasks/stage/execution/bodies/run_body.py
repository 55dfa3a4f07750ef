"""Execute the body of a stage in a fresh process, and stand in for it in this one.

The body's logs, progress and series are passed on as they come; its metrics are returned, its error is raised. An exception here meanwhile
(Ctrl-C, Prefect's termination) first interrupts the body, waits for it to end, and takes over its notes, which say what was kept. When
`run_body` has returned or raised, no process that the body started is alive.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, get_type_hints

from pydantic import BaseModel

from tasks.stage.execution.bodies.body_errors import rebuild
from tasks.stage.execution.bodies.channel import Channel, Message
from tasks.stage.execution.bodies.forked_process import ForkedProcess, ServerLost, fork_server
from tasks.stage.execution.resources import Resources
from tasks.stage.execution.run_log import log_progress
from tasks.stage.identity.tracing.marks import Marks
from tasks.stage.system.interrupts import record_interrupt
from tasks.stage.system.locks import Lock
from tasks.stage.system.process_identity import ProcessIdentity
from tasks.stage.system.progress import ProgressMeter
from tasks.stage.system.subprocesses import RUN
from tasks.stage.workspace import Body, Metrics, ShardIndex


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
    snapshot: Path
    marks: Path
    body: Body
    config: BaseModel
    inputs: Mapping[str, Path | list[Path]]
    folders: Mapping[str, Path]
    resources: Resources
    digests: Mapping[str, str]
    observed: Mapping[str, str]
    shard: ShardIndex | None


@dataclass(frozen=True)
class Listener:
    """What a body reports to while it works. `lock`: the right to execute it; once that is lost, the body is interrupted."""

    meter: ProgressMeter
    series: Callable[[list[tuple[str, float, int]]], None]
    uses: Callable[[int], None]
    lock: Lock


class Executed(NamedTuple):
    """What a body returned, what it executed and read, and the processor time and memory that its process took."""

    metrics: Metrics
    marks: Marks
    cpu_seconds: float
    peak_bytes: int


def run_body(call: BodyCall, listener: Listener) -> Executed:
    """Execute a body and return its metrics. Raises what the body raises, BodyLost if its process is killed, and MissingMarks."""
    request = _request(call)
    with fork_server().fork(call.position) as process:
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
        "environment": {**os.environ, RUN: str(ProcessIdentity.this())},
        "directory": os.getcwd(),  # noqa: PTH109  # as text
        "path": sys.path,
        "snapshot": str(call.snapshot),
        "marks": str(call.marks),
        "body": [call.body.__module__, call.body.__qualname__],
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
