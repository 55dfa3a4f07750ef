"""Gate: compare measured values with the recipe's bounds, and stop the flow if one is out of bounds. Fails closed.

The comparison is a stage, so it is cached and tracked like any other; `require` stops the flow. Both judge files that were just read and
match their recorded digests. A recipe can overrule a failed gate by giving a reason, which is recorded.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from model.evaluation.gate import HEADER, GateConfig, as_markdown, as_text, judge, passed, rows
from tasks.lineage.hook import LineageHook, holds_nothing
from tasks.reporting.gates import GATES, gate_text
from tasks.reporting.hook import ReportHook
from tasks.stage.execution.approving import approval_of
from tasks.stage.execution.run import current_run
from tasks.stage.stage import Metrics, Workspace, stage
from tasks.stage.store.artifact import Artifact, StageOutput
from tasks.stage.system.progress import log


class GateFailed(RuntimeError):
    """A measured value is out of bounds, or a person refused it. The message is the table of values, bounds and margins.

    position: of the gate whose bounds failed, such as gate.base; empty if a person refused.
    """

    def __init__(self, message: str, position: str = "") -> None:
        super().__init__(message)
        self.position = position


@stage(judges=True, hooks=(LineageHook(holds_nothing, is_gate=True), ReportHook(GATES)))
def gate(config: GateConfig, work: Workspace, **measured: Path) -> Metrics:
    """metrics.json and units.npz of each input, named `<input>.<metric>` -> verdict.json, verdict.txt, verdict.md."""
    from model.evaluation.intervals import read_units

    metrics = {f"{name}.{m}": v for name, path in measured.items() for m, v in json.loads((path / "metrics.json").read_text()).items()}
    units = {f"{name}.{metric}": found for name, path in measured.items() for metric, found in read_units(path).items()}
    verdicts = judge(metrics, config.bounds, units=units, confidence=config.confidence)
    (work.output / "verdict.txt").write_text(as_text(verdicts))
    (work.output / "verdict.md").write_text(as_markdown(verdicts))
    cells = [dict(zip(HEADER, row, strict=True)) for row in rows(verdicts)]
    (work.output / "verdict.json").write_text(json.dumps({"rows": cells, "overruled": config.overrule}, indent=1))
    return {"passed": float(passed(verdicts)), "overruled": float(bool(config.overrule)), "bounds": float(len(verdicts))}


def require(verdict: StageOutput, config: GateConfig, way_out: str = "") -> None:
    """Raise GateFailed unless the gate passed, and a person approved that if the config asks for it, or the recipe overruled it.

    `way_out`: what a person can do about a failure, told below the table.
    Raises AwaitsApproval if nobody can be asked. While planning, an answer that is not there yet is taken as a yes.
    """
    judged = read_verdict(verdict) if isinstance(verdict, Artifact) else None
    if isinstance(verdict, Artifact) and judged and not judged.passed:
        if not judged.overruled:
            told = "\n".join(filter(None, (judged.table, way_out)))
            position = f"{verdict.stage}.{verdict.label.removeprefix(f'{current_run().name}-')}"
            raise GateFailed(f"{verdict.name}: the gate failed, so the flow stops here.\n{told}", position)
        _tell(f"{verdict.name}: failed, and was overruled: {judged.overruled}")
        return
    if isinstance(verdict, Artifact):
        _tell(f"{verdict.name}: passed")
    if config.approve:
        answer = approval_of(current_run(), verdict, judged.table if judged else "")
        if answer and not answer.approved:
            raise GateFailed(f"{answer.position} was {answer.words}. The flow stops here; `folio approve` can change the answer.")


def _tell(words: str) -> None:
    """Log, unless planning: a plan that a run makes of itself would say everything twice."""
    if not current_run().options.planning:
        log(words)


class Judged(NamedTuple):
    """A verdict. `overruled`: the reason for which a failed gate was overruled; empty if it was not."""

    passed: bool
    overruled: str
    table: str


def read_verdict(verdict: Artifact) -> Judged:
    """Return the verdict of a gate from its files. Raise StoreError if they differ from its record."""
    store = current_run().store
    found = json.loads(store.read(verdict, "verdict.json"))
    holds = [row["verdict"] == "passed" for row in found["rows"]]
    table = gate_text([[str(row[name]) for name in HEADER] for row in found["rows"]])
    return Judged(bool(holds) and all(holds), found["overruled"] or "", table)
