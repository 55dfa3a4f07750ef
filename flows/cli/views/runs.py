"""`folio runs` and `folio status` as text and as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tasks.reporting.wording import plural
from tasks.stage.store.journal import RunRecord
from tasks.stage.system.columns import columns
from tasks.stage.system.progress import format_duration

HEADER = ("run", "recipe", "status", "began", "took", "made", "reused", "error")
ERROR_WIDTH = 32


def run_json(record: RunRecord, status: str) -> dict[str, Any]:
    """Return what a program wants to know of a run."""
    made, reused = _counts(record)
    names = ("id", "recipe", "started", "ended", "error", "host", "pid", "git_commit", "git_dirty")
    return {
        **{name: getattr(record, name) for name in names},
        "status": status,
        "seconds": _seconds(record),
        "made": made,
        "reused": reused,
    }


def runs_table(runs: list[tuple[RunRecord, str]]) -> str:
    """Return a line for each run, with its status. Times are local."""
    rows = [HEADER]
    for record, status in runs:
        made, reused = _counts(record)
        error = record.error if len(record.error) <= ERROR_WIDTH else f"{record.error[: ERROR_WIDTH - 3]}..."
        took = format_duration(_seconds(record)) if record.ended or status == "running" else ""
        rows.append((record.id, record.recipe, status, local_time(record.started), took, str(made), str(reused), error))
    return "\n".join(columns(rows, right=frozenset({4, 5, 6})))


def status_lines(record: RunRecord, status: str, progress: dict[str, str], checkpoints: dict[str, str]) -> list[str]:
    """Return what a run is doing, or how it ended. `progress`, `checkpoints`: the newest progress line and checkpoint of each position."""
    made, reused = _counts(record)
    lines = [f"run {record.id}: {record.recipe}, {status} since {local_time(record.ended or record.started)}, {_so_far(record, status)}"]
    lines.append(f"  made {made}, reused {plural(reused, 'artifact')}; process {record.pid} on {record.host}")
    for position, stage in record.stages.items():
        if status == "running" and stage.status == "executing":
            since = datetime.now(UTC) - datetime.fromisoformat(stage.began)
            lines.append(f"  {position}: executing for {format_duration(since.total_seconds())}")
            lines += [f"    {found}" for found in (progress.get(position), checkpoints.get(position)) if found]
    return [*lines, f"  {record.error}"] if record.error else lines


def local_time(text: str) -> str:
    """Return an ISO 8601 time in the time zone of this machine, to the second."""
    return f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M:%S}"


def _so_far(record: RunRecord, status: str) -> str:
    return f"{'for' if status == 'running' else 'after'} {format_duration(_seconds(record))}"


def _counts(record: RunRecord) -> tuple[int, int]:
    made = sum(position.action == "executed" for position in record.positions.values())
    return made, len(record.positions) - made


def _seconds(record: RunRecord) -> float:
    """Return how long a run took, or has taken so far."""
    ended = datetime.fromisoformat(record.ended) if record.ended else datetime.now(UTC)
    return (ended - datetime.fromisoformat(record.started)).total_seconds()
