"""MLflow kept beside the run: a process that writes down what the run tells it, in order, while the run goes on.

Guarantees: what is told is written in the order it was told, by one `Tracker`; a call that needs an answer waits for all before it;
`finish` returns when everything is written. A failure (the database is gone, locked or full) is raised at the next call that waits, as
TrackingError naming the database and the way out, so a long training is not thrown away because a page of metrics was lost. When the run
dies its scribe writes what it had been told, marks what is open as killed and ends.
This module imports nothing heavy, so that the process can be started before anything else.
It costs a process of about 200 MB. Importing MLflow takes more than a second, which so passes beside the run's own start.
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
"""Number of the question, whether it worked, and what came of it or why it didn't."""
MAIN = "from tasks.stage.tracking.exporter_process import main; main()"


class TrackingError(RuntimeError):
    """MLflow's database did not take what the run had to say."""


def start_ahead() -> None:
    """Start the process before it is needed; the next scribe takes it."""
    if not _prepared:
        _prepared.append(_process())


def _process() -> subprocess.Popen[bytes]:
    return start_detached([sys.executable, "-c", MAIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None)


_prepared: list[subprocess.Popen[bytes]] = []


class ExporterProcess:
    """Tracks one pipeline run in the MLflow database at `uri`; the methods are those of `Tracker`."""

    def __init__(self, uri: str, experiment: str, home: Path, store_url: str) -> None:
        self.uri = uri
        self._worker = _prepared.pop() if _prepared else _process()
        self._asking = Lock()
        self._questions = 0
        # A pipe is full after 64 kB, and the process at its other end may still be importing MLflow.
        self._outbox: SimpleQueue[Message | None] = SimpleQueue()
        self._answers: SimpleQueue[Answer | None] = SimpleQueue()
        self._sender = Thread(target=self._send, daemon=True)
        self._sender.start()
        self._receiver = Thread(target=self._receive, daemon=True)
        self._receiver.start()
        self._tell("__init__", uri, experiment, home, store_url)

    def start(self, name: str, parameters: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Open the parent run."""
        self._tell("start", name, dict(parameters), dict(tags))

    def start_stage(self, position: str, key: str, parameters: Mapping[str, str]) -> str:
        """Open a stage's child run; returns its id."""
        return str(self._ask("start_stage", position, key, dict(parameters)))

    def series(self, run_id: str, rows: Iterable[tuple[str, float, int]]) -> None:
        """Log (metric, value, step) rows."""
        self._tell("series", run_id, list(rows))

    def finish_stage(self, position: str, artifacts: Sequence[Artifact], reused: int, model_id: str) -> None:
        """Close the child run of a stage that worked."""
        self._tell("finish_stage", position, _light(artifacts), reused, model_id)

    def fail_stage(self, position: str, error: str, stopped: bool) -> None:
        """Close the child run of a stage that did not work, or was stopped."""
        self._tell("fail_stage", position, error, stopped)

    def reuse_stage(self, position: str, artifacts: Sequence[Artifact], accepted: str) -> None:
        """Show a stage all of whose artifacts were reused."""
        self._tell("reuse_stage", position, _light(artifacts), accepted)

    def create_model(self, position: str, run_id: str, tags: Mapping[str, str], parameters: Mapping[str, str]) -> str:
        """Declare a LoggedModel made by a stage; returns its id."""
        return str(self._ask("create_model", position, run_id, dict(tags), dict(parameters)))

    def finish_model(self, model_id: str, run_id: str, files: Iterable[Path]) -> None:
        """Attach small files to a LoggedModel and mark it ready; waits, since the files will move."""
        self._ask("finish_model", model_id, run_id, list(files))

    def page(self, path: Path) -> None:
        """Keep a copy of the run's report with the parent run."""
        self._tell("page", path)

    def register(self, name: str, artifact: Artifact, alias: str | None) -> None:
        """Give an exported model a version in the registry; `finish` tells which."""
        self._tell("register", name, artifact, alias)

    def finish(
        self, *, status: str, tags: Mapping[str, str], metrics: Mapping[str, float], artifacts: Mapping[str, Artifact]
    ) -> tuple[str, tuple[RegisteredModel, ...]]:
        """Close the parent run, and end when all is written; its id, and the versions that models have."""
        try:
            light = dict(zip(artifacts, _light(artifacts.values()), strict=True))
            run_id, registered = self._ask("finish", status, dict(tags), dict(metrics), light)
            return run_id, registered
        finally:
            self.close()

    def close(self) -> None:
        """Let the process end."""
        self._outbox.put(None)
        self._sender.join()
        self._receiver.join()
        self._worker.wait()

    def _tell(self, name: str, *arguments: Any) -> None:
        self._outbox.put((name, arguments, 0))

    def _ask(self, name: str, *arguments: Any) -> Any:
        with self._asking:
            self._questions += 1
            self._outbox.put((name, arguments, self._questions))
            number = 0
            # Whoever was interrupted by Ctrl-C while he waited has left his answer here.
            while number != self._questions:
                if (received := self._answers.get()) is None:
                    raise TrackingError(self._words("the process that writes to it has ended"))
                number, worked, answer = received
        if not worked:
            raise TrackingError(self._words(answer))
        return answer

    def _receive(self) -> None:
        assert self._worker.stdout is not None
        with suppress(EOFError, pickle.UnpicklingError), self._worker.stdout as answers:
            while True:
                self._answers.put(pickle.load(answers))
        self._answers.put(None)

    def _send(self) -> None:
        assert self._worker.stdin is not None
        # Whoever waits for an answer learns that the process has ended; what is only told must not end a training.
        with suppress(BrokenPipeError):
            while (message := self._outbox.get()) is not None:
                pickle.dump(message, self._worker.stdin)
                self._worker.stdin.flush()
        with suppress(BrokenPipeError):
            self._worker.stdin.close()

    def _words(self, why: str) -> str:
        return (
            f"MLflow's database {self.uri} did not take what this run had to say ({why}). What was made is kept in the store; "
            "give the same command again when the database is back, or run with --set tracking=none."
        )


def _light(artifacts: Iterable[Artifact]) -> list[Artifact]:
    """Artifacts without what MLflow is not told."""
    return [
        artifact.model_copy(update={"files": (), "ingredients": {}, "origin": artifact.origin.model_copy(update={"packages": {}})})
        for artifact in artifacts
    ]


def main() -> None:
    """The process: read calls from standard input until it ends."""
    from tasks.stage.tracking.mlflow_exporter import MlflowExporter, preload

    orders, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # Whatever a library prints is no answer, and what goes wrong is told to the run, not to its terminal.
    os.dup2(2, 1)
    preload()
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    exporter: MlflowExporter | None = None
    failure, finished = "", False
    while (message := _next(orders)) is not None:
        name, arguments, wants = message
        result: Any = None
        try:
            if name == "__init__":
                exporter = MlflowExporter(*arguments)
            elif exporter is not None and not failure:
                exporter.require_database()
                result = getattr(exporter, name)(*arguments)
                finished = finished or name == "finish"
        except Exception as error:  # noqa: BLE001  # told to the run at its next question
            failure = _reason(error)
        if wants:
            try:
                pickle.dump((wants, not failure, failure or result), answers)
                answers.flush()
            except BrokenPipeError:
                break
    if exporter is not None and not finished:
        with suppress(Exception):  # a database that is away was told of before; the guardian tries once more
            exporter.crash("its run ended without a word")
    # All is written; taking MLflow down in good order would make the run wait.
    answers.flush()
    os._exit(0)


def _reason(error: Exception) -> str:
    """What the database said, without the statement that it was given."""
    said = re.search(r"\([\w.]+Error\) ([^\[\n]+)", str(error))
    return said[1].strip() if said else " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _next(orders: IO[bytes]) -> Message | None:
    try:
        message: Message = pickle.load(orders)
    except (EOFError, pickle.UnpicklingError):
        return None
    return message
