"""Report what stages do to the journal and the terminal during a run.

The journal is written when a stage begins to execute and when it has ended, so the record of a killed run shows how far it got.
Reused stages are written with the next one that executes, or at the run's end; reused shards are reported in one line.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Set
from typing import Literal

from tasks.stage.execution.plan import Decision
from tasks.stage.execution.run import PipelineRun
from tasks.stage.execution.stage_call import StageCall
from tasks.stage.identity.key import stable
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.journal import PositionRecord, StageRecord
from tasks.stage.store.origin import now
from tasks.stage.system.progress import log


class RunReporter:
    """Reports one stage at one position of a run."""

    on_terminal = True

    def __init__(self, run: PipelineRun, position: str, call: StageCall) -> None:
        self._run, self._position, self._call = run, position, call
        self._opening = threading.Lock()

    def start(self) -> None:
        """Record that the stage executes, unless that is recorded."""
        with self._opening:
            if self._position not in self._run.stages:
                self._record("executing", now())
                self._run.save()

    def series(self, rows: list[tuple[str, float, int]]) -> None:
        """Record (metric, value, step) rows."""
        if rows:
            self._run.series.add(self._position, rows)

    def failed(self, error: BaseException) -> None:
        """Record that the stage failed, or was stopped if the error is not an Exception (Ctrl-C, a signal); the run's end follows."""
        if begun := self._run.stages.get(self._position):
            notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
            message = " ".join(f"{type(error).__name__}: {error}{notes}".split())[:1000]
            ended = {"status": "failed" if isinstance(error, Exception) else "stopped", "ended": now(), "error": message}
            self._run.stages[self._position] = begun.model_copy(update=ended)

    def done(self, made: Mapping[str, Artifact], executed: Set[str], decisions: Mapping[str, Decision], retries: Mapping[str, int]) -> None:
        """Record the artifacts of all shards. `executed`: positions that were executed; `retries`: how often each was run again."""
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
        begun = run.stages.get(self._position)
        self._record("executed" if executed else "reused", begun.began if begun else now(), now())
        self._log(made, reused, decisions)
        if executed:
            run.save()

    def _record(self, status: Literal["executing", "executed", "reused"], began: str, ended: str = "") -> None:
        given = stable(self._call.config, self._position) if status != "reused" else {}
        self._run.stages[self._position] = StageRecord(
            status=status,
            began=began,
            ended=ended,
            key=self._call.decision.key,
            config=given if isinstance(given, dict) else {},
            is_model=self._call.is_model,
        )

    def _log(self, made: Mapping[str, Artifact], reused: Mapping[str, Artifact], decisions: Mapping[str, Decision]) -> None:
        if len(made) > 1 and reused:
            log(f"{self._position}: reused {len(reused)} of {len(made)} shards")
            return
        for position, artifact in reused.items():
            instead = f", accepted instead of running it again: {decisions[position].reason}" if decisions[position].reason else ""
            log(f"{position}: reused {artifact.name}{instead}")
