"""Runs: the list of them, each with its state while it goes on, and the report of one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from flows.cli.running import checkpoint_step, last_lines, progress_in
from flows.page.records import RunEntry
from flows.page.rendering import SHOWN, page_of, part_of
from tasks.stage.store.artifact import without_shard
from tasks.stage.store.run_record import PositionRecord, RunRecord, StageRecord
from tasks.stage.store.store import Store

router = APIRouter()
DONE = re.compile(r": (\d+)/(\d+)")
LOG_LINES = 60
COLUMNS: Mapping[str, Callable[[RunEntry], Any]] = {
    "started": lambda entry: entry.started,
    "recipe": lambda entry: entry.recipe,
    "state": lambda entry: entry.status,
    "took": lambda entry: entry.seconds if entry.ended or entry.status == "running" else None,
    "made": lambda entry: entry.made,
    "reused": lambda entry: entry.reused,
}
"""The columns of the list by which it can be sorted, with what they sort by; beside them a figure that is chosen."""
TOLD = ("executing", "failed", "stopped")
# A report holds its style and drawings, and no script.
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@dataclass(frozen=True)
class StageState:
    """A stage's state in a run. `done`, `total`: how far it is, 0 of 0 if nothing tells; `says`: its newest progress in words."""

    position: str
    record: StageRecord
    seconds: float
    done: int = 0
    total: int = 0
    says: str = ""
    checkpoint: int = 0


@dataclass(frozen=True)
class Made:
    """The artifact of a run at one position, or at all shards of it."""

    position: str
    records: tuple[PositionRecord, ...]
    seconds: float

    @property
    def first(self) -> PositionRecord:
        """The first shard's."""
        return self.records[0]

    @property
    def action(self) -> str:
        """The outcome in words."""
        made = sum(record.action == "executed" for record in self.records)
        return "reused" if not made else "made" if made == len(self.records) else f"{made} of {len(self.records)} made"

    @property
    def causes(self) -> tuple[str, ...]:
        """Why it ran, each cause once."""
        return tuple(dict.fromkeys(cause for record in self.records for cause in record.causes))


@router.get("/")
def listed(request: Request) -> Response:
    """List the runs, the newest first."""
    page = page_of(request)
    recipe, figure = page.asked("recipe"), page.asked("figure")
    column, descending = page.asked("sort"), page.asked("order") != "up"
    skip = (page.number - 1) * SHOWN
    if column not in COLUMNS and column != "figure":
        column = ""
    if column:
        ordered = _ordered(list(page.runs.newest(recipe)), column, figure, descending)
        rows, total = ordered[skip : skip + SHOWN], len(ordered)
    elif recipe:
        rows, total = list(islice(page.runs.newest(recipe), skip, skip + SHOWN + 1)), None
    else:
        ids = page.runs.ids()
        rows, total = page.runs.entries(ids[skip : skip + SHOWN]), len(ids)
    live = any(entry.status == "running" for entry in rows)
    asked = {"recipe": recipe, "figure": figure, "sort": column, "order": "" if descending else "up"}
    return page.show(
        "runs.html.jinja",
        part=part_of(rows, page.number, total, most=SHOWN, **asked),
        asked=asked,
        columns={name: _turned(asked, name) for name in (*COLUMNS, "figure")},
        figures=sorted({name for entry in rows for name in entry.headline} | ({figure} - {""})),
        live=live,
    )


def _turned(asked: dict[str, str], column: str) -> str:
    """Return the address of the list sorted by a column, the other way round if it is already."""
    order = "up" if asked["sort"] == column and not asked["order"] else ""
    return "?" + urlencode({name: value for name, value in {**asked, "sort": column, "order": order}.items() if value})


def _ordered(entries: list[RunEntry], column: str, figure: str, descending: bool) -> list[RunEntry]:
    """Return runs in the order of a column; those without a value in it come last either way."""
    read = (lambda entry: entry.headline.get(figure)) if column == "figure" else COLUMNS[column]
    known = [(value, entry) for entry in entries if (value := read(entry)) is not None and value == value]
    found = {entry.id for _, entry in known}
    ordered = [entry for _, entry in sorted(known, key=lambda pair: (pair[0], pair[1].started), reverse=descending)]
    return [*ordered, *(entry for entry in entries if entry.id not in found)]


@router.get("/runs/{run_id}")
def one(request: Request, run_id: str) -> Response:
    """Show a run: how it goes or went, its stages, what it made and why."""
    page = page_of(request)
    record, status = page.runs.record(run_id), page.runs.status(run_id)
    lines = last_lines(run_id)
    return page.show(
        "run.html.jinja",
        run=record,
        state=status,
        seconds_taken=_seconds(record.started, record.ended),
        # Of a run that has finished, the artifacts say it all.
        stages=[] if status == "finished" else [one for one in _stages(page.store, record, status, lines) if one.record.status in TOLD],
        made=list(_made(record)),
        log=lines[-LOG_LINES:],
        has_report=_report(request, record) is not None,
    )


@router.get("/runs/{run_id}/report")
def report(request: Request, run_id: str) -> Response:
    """Show the report of a run, as it was written when the run ended."""
    record = page_of(request).runs.record(run_id)
    found = _report(request, record)
    if found is None:
        raise LookupError(f"Run {run_id} has no report in this home: it was stopped, goes on, or ran on another machine ({record.host}).")
    return HTMLResponse(found, headers={"Content-Security-Policy": REPORT_POLICY})


def _report(request: Request, record: RunRecord) -> bytes | None:
    reports = (page_of(request).site.home / "reports").resolve()
    path = (reports / record.recipe / f"{record.id}.html").resolve()
    # A store of others may name its runs as it likes.
    return path.read_bytes() if path.is_relative_to(reports) and path.is_file() else None


def _stages(store: Store, record: RunRecord, status: str, lines: list[str]) -> Iterator[StageState]:
    live = status == "running"
    progress = progress_in(lines) if live else {}
    for position, stage in record.stages.items():
        goes_on = live and stage.status == "executing"
        says = progress.get(without_shard(position), "") if goes_on else ""
        done = DONE.search(says)
        yield StageState(
            position,
            stage,
            _seconds(stage.began, stage.ended or ("" if goes_on else stage.began)),
            int(done[1]) if done else 0,
            int(done[2]) if done else 0,
            says,
            checkpoint_step(store, position, stage.key) if goes_on else 0,
        )


def _made(record: RunRecord) -> Iterator[Made]:
    grouped: dict[str, list[PositionRecord]] = {}
    for position, found in record.positions.items():
        grouped.setdefault(without_shard(position), []).append(found)
    for position, records in grouped.items():
        stage = record.stages.get(position)
        yield Made(position, tuple(records), _seconds(stage.began, stage.ended) if stage is not None and stage.ended else 0.0)


def _seconds(began: str, ended: str) -> float:
    until = datetime.fromisoformat(ended) if ended else datetime.now(UTC)
    return max(0.0, (until - datetime.fromisoformat(began)).total_seconds())
