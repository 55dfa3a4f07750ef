"""The exporter process: it writes to MLflow what a run reports, in order, while the run goes on.

Reports are written in the order they were sent, by one `MlflowExporter`; a call that needs an answer waits for all before it; `finish`
returns when everything is written. A failure (the database is gone, locked or full) is raised by the next call that waits, as
TrackingError with the database and the way out, so a lost page of metrics does not end a long execution. When the run dies, its exporter
writes what it has received, marks what is open as killed and exits.
This module imports nothing heavy, so that the process can be started before anything else. The process takes about 200 MB; importing
MLflow takes it more than a second, in parallel with the start of the run.
"""

from __future__ import annotations

import logging
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import IO, TYPE_CHECKING, Any

from tasks.stage.system.subprocesses import start_detached

if TYPE_CHECKING:
    from tasks.stage.store.artifact import Artifact
    from tasks.stage.store.journal import RegisteredModel
    from tasks.stage.tracking.mlflow_exporter import MlflowExporter

Message = tuple[str, tuple[Any, ...], int]
"""Method, arguments, and the number of the question, or 0 when no answer is awaited."""
Answer = tuple[int, bool, Any]
"""Number of the question, whether it succeeded, and the result or the reason why not."""
MAIN = "from tasks.stage.tracking.exporter_process import main; main()"


class TrackingError(RuntimeError):
    """MLflow's database could not record a run."""


def start_ahead() -> None:
    """Start the process before it is needed; the next ExporterProcess uses it."""
    if not _prepared:
        _prepared.append(_process())


def _process() -> subprocess.Popen[bytes]:
    return start_detached([sys.executable, "-c", MAIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None)


_prepared: list[subprocess.Popen[bytes]] = []


class ExporterProcess:
    """Exports one pipeline run to the MLflow database at `uri`; the methods are those of `MlflowExporter`."""

    def __init__(self, uri: str, experiment: str, home: Path, store_url: str) -> None:
        self.uri = uri
        self._worker = _prepared.pop() if _prepared else _process()
        self._asking = Lock()
        self._questions = 0
        # A pipe is full after 64 kB, and the process at its other end may still be importing MLflow.
        self._outbox: SimpleQueue[Message | None] = SimpleQueue()
        self._answers: SimpleQueue[Answer | None] = SimpleQueue()
        self._sender = Thread(target=self._write_calls, daemon=True)
        self._sender.start()
        self._receiver = Thread(target=self._read_answers, daemon=True)
        self._receiver.start()
        self._send("__init__", uri, experiment, home, store_url)

    def start(self, name: str, parameters: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Open the parent run."""
        self._send("start", name, dict(parameters), dict(tags))

    def start_stage(self, position: str, key: str, parameters: Mapping[str, str]) -> str:
        """Open a stage's child run; return its id."""
        return str(self._call("start_stage", position, key, dict(parameters)))

    def series(self, run_id: str, rows: Iterable[tuple[str, float, int]]) -> None:
        """Log (metric, value, step) rows."""
        self._send("series", run_id, list(rows))

    def finish_stage(self, position: str, artifacts: Sequence[Artifact], reused: int, model_id: str) -> None:
        """Close the child run of a stage that was executed."""
        self._send("finish_stage", position, _slim(artifacts), reused, model_id)

    def fail_stage(self, position: str, error: str, stopped: bool) -> None:
        """Close the child run of a stage that failed or was stopped."""
        self._send("fail_stage", position, error, stopped)

    def reuse_stage(self, position: str, artifacts: Sequence[Artifact], accepted: str) -> None:
        """Show a stage whose artifacts were all reused."""
        self._send("reuse_stage", position, _slim(artifacts), accepted)

    def create_model(self, position: str, run_id: str, tags: Mapping[str, str], parameters: Mapping[str, str]) -> str:
        """Create the LoggedModel of a stage; return its id."""
        return str(self._call("create_model", position, run_id, dict(tags), dict(parameters)))

    def finish_model(self, model_id: str, run_id: str, files: Iterable[Path]) -> None:
        """Attach small files to a LoggedModel and mark it ready; waits, since the files will be moved."""
        self._call("finish_model", model_id, run_id, list(files))

    def page(self, path: Path) -> None:
        """Store a copy of the run's report with the parent run."""
        self._send("page", path)

    def register(self, name: str, artifact: Artifact, alias: str | None) -> None:
        """Register an exported model as a version; `finish` returns it."""
        self._send("register", name, artifact, alias)

    def finish(
        self, *, status: str, tags: Mapping[str, str], metrics: Mapping[str, float], artifacts: Mapping[str, Artifact]
    ) -> tuple[str, tuple[RegisteredModel, ...]]:
        """Close the parent run and wait until all is written; return its id and the registered versions."""
        try:
            light = dict(zip(artifacts, _slim(artifacts.values()), strict=True))
            run_id, registered = self._call("finish", status, dict(tags), dict(metrics), light)
            return run_id, registered
        finally:
            self.close()

    def close(self) -> None:
        """End the process."""
        self._outbox.put(None)
        self._sender.join()
        self._receiver.join()
        self._worker.wait()

    def _send(self, name: str, *arguments: Any) -> None:
        self._outbox.put((name, arguments, 0))

    def _call(self, name: str, *arguments: Any) -> Any:
        with self._asking:
            self._questions += 1
            self._outbox.put((name, arguments, self._questions))
            number = 0
            # A caller interrupted by Ctrl-C while it waited has left its answer here.
            while number != self._questions:
                if (received := self._answers.get()) is None:
                    raise TrackingError(self._message("the exporter process has ended"))
                number, worked, answer = received
        if not worked:
            raise TrackingError(self._message(answer))
        return answer

    def _read_answers(self) -> None:
        assert self._worker.stdout is not None
        with suppress(EOFError, pickle.UnpicklingError), self._worker.stdout as answers:
            while True:
                self._answers.put(pickle.load(answers))
        self._answers.put(None)

    def _write_calls(self) -> None:
        assert self._worker.stdin is not None
        # A caller that waits for an answer learns that the process has ended; a report without an answer must not end a run.
        with suppress(BrokenPipeError):
            while (message := self._outbox.get()) is not None:
                pickle.dump(message, self._worker.stdin)
                self._worker.stdin.flush()
        with suppress(BrokenPipeError):
            self._worker.stdin.close()

    def _message(self, why: str) -> str:
        return (
            f"MLflow's database {self.uri} could not record this run ({why}). What was made is kept in the store; "
            "run the same command again when the database is back, or with --set tracking=none."
        )


def _slim(artifacts: Iterable[Artifact]) -> list[Artifact]:
    """Return artifacts without the parts that MLflow does not show."""
    return [
        artifact.model_copy(update={"files": (), "ingredients": {}, "origin": artifact.origin.model_copy(update={"packages": {}})})
        for artifact in artifacts
    ]


def main() -> None:
    """Run the process: read calls from standard input until it ends."""
    from tasks.stage.tracking.mlflow_exporter import MlflowExporter, preload

    calls, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # Whatever a library prints must not be read as an answer; errors go to the run, not to its terminal.
    os.dup2(2, 1)
    preload()
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    exporter: MlflowExporter | None = None
    failure, finished = "", False
    while (message := _next(calls)) is not None:
        name, arguments, wants = message
        result: Any = None
        try:
            if name == "__init__":
                exporter = MlflowExporter(*arguments)
            elif exporter is not None and not failure:
                exporter.require_database()
                result = getattr(exporter, name)(*arguments)
                finished = finished or name == "finish"
        except Exception as error:  # noqa: BLE001  # raised by the run at its next question
            failure = _reason(error)
        if wants:
            try:
                pickle.dump((wants, not failure, failure or result), answers)
                answers.flush()
            except BrokenPipeError:
                break
    if exporter is not None and not finished:
        with suppress(Exception):  # an unreachable database was reported before; the watchdog tries once more
            exporter.crash("the process of its run died")
    # All is written; an orderly shutdown of MLflow would make the run wait.
    answers.flush()
    os._exit(0)


def _reason(error: Exception) -> str:
    """Return the database's message without the statement that it was given."""
    found = re.search(r"\([\w.]+Error\) ([^\[\n]+)", str(error))
    return found[1].strip() if found else " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _next(calls: IO[bytes]) -> Message | None:
    try:
        message: Message = pickle.load(calls)
    except (EOFError, pickle.UnpicklingError):
        return None
    return message
