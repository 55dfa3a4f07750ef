"""Run the body of one stage in the forked process, for a run that waits for it.

The request names the body and the class of its config, so both are imported here; where the body is an entry point, the stage's own file
is not. The config is rebuilt from what the key serialized. What the body reports (log lines, progress, metric rows, accelerators in use)
goes to the run at once; its metrics or its error end the conversation. Ctrl-C, SIGTERM and a hang-up raise `Interrupted` in the body,
whose error then says what was kept.
"""

from __future__ import annotations

import logging
import socket
import time
from inspect import signature
from pathlib import Path
from pkgutil import resolve_name

from pydantic import BaseModel

from tasks.stage.execution.bodies.body_errors import describe, imported
from tasks.stage.execution.bodies.channel import Channel, Message, Outbox
from tasks.stage.execution.resources import Resources
from tasks.stage.system.interrupts import interrupts_recorded, was_interrupted
from tasks.stage.system.progress import ProgressMeter
from tasks.stage.workspace import ShardIndex, Workspace

SHOWN_SECONDS = 0.05
"""Progress is sent at most this often; the run decides what to show."""


def main(connection: socket.socket, request: Message) -> None:
    """Execute a body and send its result or its error."""
    outbox = Outbox(Channel(connection))
    _relay_logs(outbox)
    with interrupts_recorded() as stops:
        try:
            answer = _answer(outbox, request)
        except KeyboardInterrupt as error:  # it arrived while another error was being described
            answer = {"kind": "failed", **describe(error)}
        if stops is not None:
            stops.ignore()
    outbox.put(answer)
    outbox.close()


def _answer(outbox: Outbox, request: Message) -> Message:
    try:
        return {"kind": "done", "metrics": _execute(outbox, request), "interrupted": was_interrupted()}
    except BaseException as error:  # noqa: BLE001  # the run raises it
        return {"kind": "failed", **describe(error)}


def _execute(outbox: Outbox, request: Message) -> dict[str, float]:
    config_class = imported(*request["config"]["class"])
    config: BaseModel = config_class.model_validate_json(request["config"]["value"])
    inputs = {name: [Path(item) for item in value] if isinstance(value, list) else Path(value) for name, value in request["inputs"].items()}
    work = _workspace(outbox, request)
    if request["entry"]:
        function = resolve_name(request["entry"])
        metrics = function(**work.offers(config, signature(function).parameters), **inputs)
    else:
        stage = imported(*request["body"])
        metrics = getattr(stage, "body", stage)(config, work, **inputs)
    return {str(name): float(value) for name, value in metrics.items()}


def _workspace(outbox: Outbox, request: Message) -> Workspace:
    given = request["workspace"]

    def resources() -> Resources:
        found: Resources = imported(*request["resources"]["class"]).model_validate_json(request["resources"]["value"])
        return found

    def series(rows: list[tuple[str, float, int]]) -> None:
        outbox.put({"kind": "series", "rows": [(name, float(value), int(step)) for name, value, step in rows]})

    def uses(devices: int) -> None:
        outbox.put({"kind": "uses", "devices": devices})

    return Workspace(
        **{name: Path(given[name]) for name in ("output", "scratch", "resume", "root", "cache")},
        threads=given["threads"],
        memory=given["memory"],
        load_resources=resources,
        meter=_RelayedMeter(outbox, given["label"]),
        digests=given["digests"],
        observed=given["observed"],
        shard=ShardIndex(*given["shard"]) if given["shard"] else None,
        series=series,
        uses=uses,
    )


class _RelayedMeter(ProgressMeter):
    """Sends progress to the run."""

    def __init__(self, outbox: Outbox, label: str) -> None:
        super().__init__(label, on_terminal=False)
        self._outbox = outbox

    def show(self, done: int, total: int, note: str = "", seconds_left: float | None = None) -> None:
        """Send `done` of `total` steps."""
        now = time.monotonic()
        if done < total and now - self.shown < SHOWN_SECONDS:
            return
        self.shown = now
        self._outbox.put({"kind": "progress", "done": done, "total": total, "note": note, "seconds_left": seconds_left})


class _Relay(logging.Handler):
    """Sends log records to the run."""

    def __init__(self, outbox: Outbox) -> None:
        super().__init__()
        self._outbox = outbox

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        self._outbox.put({"kind": "log", "logger": record.name, "level": record.levelno, "text": record.getMessage()})


def _relay_logs(outbox: Outbox) -> None:
    """Send log records to the run, including libraries' warnings."""
    logging.getLogger().addHandler(_Relay(outbox))
    logging.getLogger("folio").setLevel(logging.INFO)
