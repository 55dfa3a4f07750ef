"""What a stage shows of itself while a run decides and works: in MLflow, in the journal and in words.

Guarantees: a stage has one child run in MLflow, opened when the first of its shards begins to work, or closed at once when all were
reused; shards that were reused are told in one line. The journal is written when something was executed, so a run that is killed says how
far it came.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Set
from pathlib import Path

from tasks.stage.execution.plan import Decision
from tasks.stage.execution.run import PipelineRun
from tasks.stage.execution.stage_call import StageCall
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.journal import PositionRecord
from tasks.stage.system.progress import log
from tasks.stage.tracking.exporter_process import TrackingError
from tasks.stage.tracking.mlflow_exporter import model_files


class RunReporter:
    """One stage at one place of a run."""

    on_terminal = True

    def __init__(self, run: PipelineRun, position: str, key: str, parameters: Mapping[str, str]) -> None:
        self._run, self._position, self._key, self._parameters = run, position, key, parameters
        self._opening = threading.Lock()
        self._run_id = ""

    def start(self) -> str:
        """The stage works: its MLflow run is open from here on. Returns the run's id, or "" without tracking."""
        with self._opening:
            if not self._run_id and self._run.exporter is not None:
                self._run_id = self._run.exporter.start_stage(self._position, self._key, self._parameters)
            return self._run_id

    def series(self, rows: list[tuple[str, float, int]]) -> None:
        """(metric, value, step) rows for the stage's MLflow run."""
        if self._run.exporter is not None and rows:
            self._run.exporter.series(self.start(), rows)

    def model(self, call: StageCall, digest: str, location: str, output: Path) -> tuple[str, Exception | None]:
        """Declare a LoggedModel. A database that is away is told of afterwards: a long training is not thrown away for that."""
        exporter = self._run.exporter
        if exporter is None:
            return "", None
        run_id, model_id = self.start(), ""
        try:
            model_id = exporter.create_model(
                self._position, run_id, {"folio.digest": digest, "folio.location": location}, dict(self._parameters)
            )
            exporter.finish_model(model_id, run_id, model_files(output))
        except TrackingError as error:
            return model_id, error
        return model_id, None

    def failed(self, error: BaseException) -> None:
        """The stage did not work, or was stopped: what is no Exception is a wish from outside."""
        if self._run.exporter is not None and self._run_id:
            notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
            self._run.exporter.fail_stage(self._position, f"{type(error).__name__}: {error}{notes}", not isinstance(error, Exception))

    def done(self, made: Mapping[str, Artifact], executed: Set[str], decisions: Mapping[str, Decision], model_id: str) -> None:
        """Every shard has its artifact. `executed`: the places that worked. `model_id`: the model that an evaluation tells of."""
        run = self._run
        run.artifacts |= made
        reused = {position: artifact for position, artifact in made.items() if position not in executed}
        run.reused |= set(reused)
        for position, artifact in made.items():
            decision = decisions[position]
            run.positions[position] = PositionRecord(
                stage=artifact.stage,
                key=decision.key,
                digest=artifact.digest,
                location=artifact.location,
                action="executed" if position in executed else "reused",
                causes=decision.causes,
                accepted=decision.reason,
            )
        self._say(made, reused, decisions)
        if run.exporter is not None:
            if executed:
                run.exporter.finish_stage(self._position, list(made.values()), len(reused), model_id)
            else:
                reasons = {decision.reason for decision in decisions.values() if decision.reason}
                run.exporter.reuse_stage(self._position, list(made.values()), "; ".join(sorted(reasons)))
        if executed:
            run.keep()

    def _say(self, made: Mapping[str, Artifact], reused: Mapping[str, Artifact], decisions: Mapping[str, Decision]) -> None:
        if len(made) > 1 and reused:
            log(f"{self._position}: reused {len(reused)} of {len(made)} shards")
            return
        for position, artifact in reused.items():
            instead = f", accepted in place of another run of it: {decisions[position].reason}" if decisions[position].reason else ""
            log(f"{position}: reused {artifact.name}{instead}")
