"""`folio report`: how a run ended, in the words and figures of its page, and the page itself."""

from __future__ import annotations

import webbrowser
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from flows.cli.running import FoundRun, journal_of
from flows.cli.snapshot import open_snapshot
from flows.services.home import home
from tasks.lineage.compare import RunSide
from tasks.reporting.gates import gate_text, gates_of
from tasks.reporting.headline import headline
from tasks.reporting.page import RunEntry
from tasks.reporting.summary import TUNED, Results, RunSummary, previous_metrics
from tasks.reporting.wording import joined, plural, seconds
from tasks.stage.store.journal import RunRecord
from tasks.stage.store.store import Store
from tasks.stage.system.columns import wrapped
from tasks.stage.system.command_line import folio
from tasks.stage.tracking.cost import Rates

SHOWN = 6  # reasons why stages ran


def show_report(text: str, store: str = "", *, opened: bool = False) -> str:
    """Return how a run ended as text; `text` names it, "" the newest that has ended. `opened`: open its page in a browser as well.

    Raises LookupError if there is no such run, if several ids begin so, if it is not over, or if there is no page to open.
    """
    record = _ended_run(text, store)
    page = page_of(record)
    if opened:
        open_page(record, page)
    snapshot = open_snapshot(store)
    side = RunSide.of(snapshot, record)
    return "\n".join(report_lines(_summary(side, snapshot.store), side.missing, page))


def _ended_run(text: str, store: str) -> RunRecord:
    journal = journal_of(store)
    if text:
        run = FoundRun(journal, journal.get(text))
        if run.status == "running":
            look = folio("status", run.record.id)
            raise LookupError(f"Run {run.record.id} of {run.record.recipe} is not over yet. To see how far it is: {look}")
        return run.record
    ended = (record for record in journal.newest() if FoundRun(journal, record).status != "running")
    if (newest := next(ended, None)) is None:
        raise LookupError(f"No run has ended in {journal.store.url}. To see what goes on: {folio('status')}")
    return newest


def page_of(record: RunRecord) -> Path | None:
    """Return a run's own page, or the newest of its recipe if the run wrote that; None if there is none on this machine."""
    own = home() / "reports" / record.recipe / f"{record.id}.html"
    return next((page for page in (own, Path(record.page)) if page.is_file()), None)


def open_page(record: RunRecord, page: Path | None) -> None:
    """Open a run's page in a browser. Raises LookupError if there is no page, or no browser."""
    if page is None:
        why = f"it ran on {record.host}, where its page is" if record.page else f"it {_ended(record)}, which leaves none"
        raise LookupError(f"Run {record.id} of {record.recipe} has no page here: {why}. Without --open its summary is printed.")
    if not webbrowser.open(page.resolve().as_uri()):
        raise LookupError(f"There is no browser here. Open {page.resolve()} with one, on this machine or another: it needs no other file.")


def _ended(record: RunRecord) -> str:
    return "was stopped" if record.status == "stopped" else "ended before it wrote one"


def _summary(side: RunSide, store: Store) -> RunSummary:
    """Return a run as its journal and the store have it."""
    record, made = side.run, dict(side.artifacts)
    unfinished = {position: () for position, stage in record.stages.items() if stage.status in ("executing", "failed", "stopped")}
    return RunSummary(
        id=record.id,
        name=record.recipe,
        started=datetime.fromisoformat(record.started),
        ended=datetime.fromisoformat(record.ended or record.started),
        results=Results(made, store.local),
        reused=frozenset(position for position, stage in record.positions.items() if stage.action == "reused"),
        causes=unfinished,
        commit=record.git_commit,
        dirty=record.git_dirty,
        rates=Rates.model_validate(record.configuration.get("rates", {})),
        failure=record.error if record.status != "stopped" else "",
        stopped=record.status == "stopped",
        previous=previous_metrics(store, record.recipe, made.get(TUNED)),
    )


def report_lines(run: RunSummary, missing: list[str], page: Path | None) -> list[str]:
    """Return the head of a run's page as lines that fit the terminal. `missing`: positions whose results are no longer in the store."""
    head = headline(run)

    lines = [*wrapped(f"{head.name}: {head.verdict}. {head.outcome}", rest=""), *wrapped(head.description)]
    lines += wrapped(f"run {run.id}, {head.when}, after {seconds(run.seconds)}")
    lines += ["", *wrapped(head.failure.replace("\n", " "), rest="")] if head.failure else []
    lines += wrapped(f"No longer in the store, so not shown: {joined(missing)}.") if missing else []
    for gate in gates_of(run.results):
        lines += ["", gate.position, *gate_text(gate.rows).splitlines()]
    lines += ["", *(line for reason in head.reasons for line in wrapped(reason))] if head.reasons else []
    lines += ["", *(line for words in head.words for line in wrapped(words, "- "))] if head.words else []
    label = max(len(figure.label) for figure in head.figures)
    value = max(len(figure.value) for figure in head.figures)
    lines.append("")
    for figure in head.figures:
        first = f"{figure.label:{label}}  {figure.value:>{value}}  "
        lines += wrapped(figure.remark, first, " " * len(first)) or [first.rstrip()]
    if changed := _changed(run):
        lines += ["", *wrapped(f"It ran because of: {'; '.join(changed[:SHOWN])}{_more(changed)}")]
    shown = [f"the page  {page}", f"          open it with: {folio('report', run.id, '--open')}"] if page else []
    return [*lines, "", *shown] if shown else lines


def _changed(run: RunSummary) -> tuple[str, ...]:
    """Return why stages of a run ran, by what was listed of it; nothing if that is not on this machine."""
    with suppress(OSError, ValidationError):
        return RunEntry.model_validate_json((home() / "reports" / run.name / f"{run.id}.json").read_bytes()).changed
    return ()


def _more(changed: tuple[str, ...]) -> str:
    rest = len(changed) - SHOWN
    return f"; and {plural(rest, 'more reason')}" if rest > 0 else ""
