"""Examine: what a step of tuning is for, and what it may cost, measured before and after it on the same rows with the same seeds."""

from __future__ import annotations

from pathlib import Path

from model.aims.examine_config import ExamineConfig
from model.aims.step_gate import SPLIT
from tasks.lineage.hook import Holding, Inspection, LineageHook
from tasks.reporting.hook import ReportHook
from tasks.reporting.tuning.aims import AIMS
from tasks.stage.stage import Metrics, Workspace, stage


def _inspect(inspection: Inspection) -> Holding:
    """It keeps no words: only what rows and questions cost and earn, each by its number."""
    rows, text = inspection.inputs_named("shards"), inspection.inputs_named("packed")
    measured = [holding for holding in rows if any(part == "" or part.split("/")[0] == SPLIT for part in holding.parts)]
    measured += [holding for holding in text if holding.parts]
    certain = all(holding.certain for holding in (*rows, *text))
    return inspection.holding(measured=bool(measured), certain=certain, detail="measured on it" if measured else "")


@stage(hooks=(LineageHook(_inspect), ReportHook(AIMS, headline=("before", "after", "gain"))))
def examine(
    config: ExamineConfig,
    work: Workspace,
    before: Path,
    after: Path,
    tokenizer: Path,
    examples: Path,
    packed: Path | None = None,
    shards: Path | None = None,
    judge: Path | None = None,
) -> Metrics:
    """The models before and after a step, held-out rows and questions -> before/ and after/ (metrics, units), rows.jsonl, summary.json."""
    from model.aims.examine import examine as measure

    rows = shards and shards / SPLIT
    return measure(before, after, tokenizer, examples, work.output, config, text=packed, rows=rows, judge=judge, threads=work.threads)
