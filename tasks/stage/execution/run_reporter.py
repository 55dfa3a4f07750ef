"""Report what a stage does to MLflow, the journal and the terminal while a run goes on.

A stage has one child run in MLflow, opened when the first of its shards starts, or closed at once when all were reused; reused shards are
reported in one line. The journal is written whenever something was executed, so the record of a run that is killed shows how far it came.
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
    """Reports one stage at one position of a run."""

    on_terminal = True

    def __init__(self, run: PipelineRun, position: str, key: str, parameters: Mapping[str, str]) -> None:
        self._run, self._position, self._key, self._parameters = run, position, key, parameters
        self._opening = threading.Lock()
        self._run_id = ""

    def start(self) -> str:
        """Open the stage's MLflow run, unless it is open; return its id, or "" without tracking."""
        with self._opening:
            if not self._run_id and self._run.exporter is not None:
                self._run_id = self._run.exporter.start_stage(self._position, self._key, self._parameters)
            return self._run_id

    def series(self, rows: list[tuple[str, float, int]]) -> None:
        """Log (metric, value, step) rows to the stage's MLflow run."""
        if self._run.exporter is not None and rows:
            self._run.exporter.series(self.start(), rows)

    def model(self, call: StageCall, digest: str, location: str, output: Path) -> tuple[str, Exception | None]:
        """Create a LoggedModel. Returns the error of an unreachable database, so that the finished artifact is committed before it is
        raised.
        """
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
        """Report that the stage failed, or was stopped if the error is no Exception (Ctrl-C, a signal)."""
        if self._run.exporter is not None and self._run_id:
            notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
            self._run.exporter.fail_stage(self._position, f"{type(error).__name__}: {error}{notes}", not isinstance(error, Exception))

    def done(
        self,
        made: Mapping[str, Artifact],
        executed: Set[str],
        decisions: Mapping[str, Decision],
        model_id: str,
        retries: Mapping[str, int],
    ) -> None:
        """Report the artifacts of all shards.

        `executed`: positions that were executed; `model_id`: the model that was evaluated; `retries`: how often each was run again.
        """
        run = self._run
        run.artifacts |= made
        reused = {position: artifact for position, artifact in made.items() if position not in executed}
        run.reused |= set(reused)
        for position, artifact in made.items():
            decision = decisions[position]
            run.positions[position] = PositionRecord(
                stage=artifact.stage,
                key=decision.key,
                address=artifact.address,
                digest=artifact.digest,
                location=artifact.location,
                action="executed" if position in executed else "reused",
                causes=decision.causes,
                accepted=decision.reason,
                retries=retries[position],
            )
        self._log(made, reused, decisions)
        if run.exporter is not None:
            if executed:
                run.exporter.finish_stage(self._position, list(made.values()), len(reused), model_id)
            else:
                reasons = {decision.reason for decision in decisions.values() if decision.reason}
                run.exporter.reuse_stage(self._position, list(made.values()), "; ".join(sorted(reasons)))
        if executed:
            run.save()

    def _log(self, made: Mapping[str, Artifact], reused: Mapping[str, Artifact], decisions: Mapping[str, Decision]) -> None:
        if len(made) > 1 and reused:
            log(f"{self._position}: reused {len(reused)} of {len(made)} shards")
            return
        for position, artifact in reused.items():
            instead = f", accepted instead of running it again: {decisions[position].reason}" if decisions[position].reason else ""
            log(f"{position}: reused {artifact.name}{instead}")
