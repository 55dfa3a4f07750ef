"""Show what each tuning step changed in every metric: one table, one column per model, in the order they were made."""

from __future__ import annotations

from collections.abc import Mapping

from tasks.reporting.compared.standing import TUNED
from tasks.reporting.hook import Topic
from tasks.reporting.parts import Row, Section, Table
from tasks.reporting.summary import Results, RunSummary
from tasks.reporting.wording import number, share

SHARES = ("questions.", "skills.", "copying.share", "copying.baseline")  # metrics that are fractions
BASE = "evaluate.base"


def effects_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build the table of metrics with an interval, before tuning and after each step; None unless two models have one in common."""
    results = run.results
    columns = models_measured(results, positions)
    names = dict.fromkeys(name for position in columns for name in results.metrics(position) if f"{name}_low" in results.metrics(position))
    rows = [Row((name, *(_cell(results, position, name) for position in columns))) for name in names]
    rows = [row for row in rows if sum(map(bool, row.cells[1:])) > 1]
    if not rows:
        return None
    header = ("metric", *columns.values())
    note = "Each value with its interval. A step whose interval lies beyond that of the model before it changed more than chance does."
    table = Table("Before and after each step", header, tuple(rows), frozenset(range(1, len(header))))
    return Section("tuning", "What tuning changed", note, tables=(table,))


def models_measured(results: Results, positions: Mapping[str, str]) -> dict[str, str]:
    """Return the positions where the base model and each step's model were measured, with titles, in the order they were made."""
    steps = [position.partition(".")[2] for position in results.positions("tune")]
    measured = {BASE: "base", **{f"evaluate.{name}": f"after {name}" for name in steps[:-1]}}
    measured |= {TUNED: f"after {steps[-1]}"} if steps else {}
    return {position: title for position, title in measured.items() if position in positions}


EFFECTS = Topic("what tuning changed", 32, effects_section)


def _cell(results: Results, position: str, name: str) -> str:
    metrics = results.metrics(position)
    if name not in metrics or f"{name}_low" not in metrics:
        return ""
    shown = share if name.startswith(SHARES) else number
    return f"{shown(metrics[name])} ({shown(metrics[f'{name}_low'])} to {shown(metrics[f'{name}_high'])})"
