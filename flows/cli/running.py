"""Runs seen from outside their process: find them, show them as text and JSON, stop them, and tell the servers how they ended."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from rich.cells import cell_len

from flows.services import servers
from flows.services.home import home, store_url, tracking_url
from tasks.reporting.wording import plural
from tasks.stage.execution.live_runs import LiveRun, live_runs, log_path
from tasks.stage.recovery.dead_runs import Servers, close_dead_run, is_gone, process_of
from tasks.stage.recovery.follower import settle_earlier_runs
from tasks.stage.recovery.settlement import synchronize
from tasks.stage.store.artifact import without_shard
from tasks.stage.store.journal import Journal, RunRecord
from tasks.stage.store.store import Store, open_store
from tasks.stage.system.columns import columns, table, terminal_width
from tasks.stage.system.progress import format_duration, log, show_on_terminal

HEADER = ("run", "recipe", "status", "began", "took", "made", "reused", "error")
ERROR_WIDTH, UNBOUNDED = 32, 10_000  # characters


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
    lines = columns(rows, frozenset({4, 5, 6}), UNBOUNDED)
    if max(map(cell_len, lines)) > terminal_width():
        # A run's id is there to be copied, so it is never cut; it begins with when the run began, in UTC.
        lines = table([row[:3] + row[4:] for row in rows], frozenset({3, 4, 5}))
    return "\n".join(lines)


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


POLL_SECONDS = 0.3
CLOSE_SECONDS = 20.0
"""Seconds that a killed run's follower gets to close it."""


@dataclass(frozen=True)
class FoundRun:
    """A run in the journal of its store."""

    journal: Journal
    record: RunRecord

    @property
    def status(self) -> str:
        """The status in the journal; `crashed` if that is `running` and the process is gone."""
        return "crashed" if self.record.status == "running" and not self.journal.alive(self.record) else self.record.status

    def again(self) -> FoundRun:
        """Return the run as it is now."""
        return FoundRun(self.journal, self.journal.read(self.record.id) or self.record)


def journal_of(store: str) -> Journal:
    """Return the journal of a store, by default of the one in folio's home."""
    return Journal(open_store(store or store_url(), Path.cwd(), home()))


def live() -> list[FoundRun]:
    """Return the live runs of this home, in any store."""
    return [run for found in live_runs(home()) if (run := _recorded(found)) is not None]


def _recorded(found: LiveRun) -> FoundRun | None:
    journal = journal_of(found.store)
    record = journal.read(found.id)
    return FoundRun(journal, record) if record is not None else None


def find_run(text: str, store: str) -> FoundRun:
    """Return a run by its id, the beginning of it, or its recipe; for "" the only one that is live. Raises LookupError."""
    going = [run for run in live() if not store]
    if not text:
        if len(going) == 1:
            return going[0]
        these = ", ".join(run.record.id for run in going)
        raise LookupError(
            f"Several runs are live: {these}. Name one." if going else f"No run is live in {home()}. To list runs: folio runs"
        )
    matching = [run for run in going if run.record.id.startswith(text) or run.record.recipe == text]
    if len(matching) == 1:
        return matching[0]
    journal = journal_of(store)
    return FoundRun(journal, journal.get(text))


def ask_to_stop(run: FoundRun, *, now: bool) -> None:
    """Send a live run the signal to stop at a checkpoint, or end its process at once. Raises RuntimeError if that can't be done here."""
    record = run.record
    if is_gone(run.journal, record):
        return
    process = process_of(record)
    if process is None:
        raise RuntimeError(f"Run {record.id} {_where(record)}")
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGKILL if now else signal.SIGTERM)


def _where(record: RunRecord) -> str:
    """Say where a live run is that this process can't see, and how it is stopped there."""
    stop = f"stop it there: folio stop {record.id}"
    if record.host != socket.gethostname():
        return f"is on {record.host}; {stop}"
    if record.identity is not None:
        return f"is in another container of {record.host}, or on another machine of that name; {stop}"
    return f"was started by an older folio, which recorded only its process's number. Make sure that {record.pid} is it: kill {record.pid}"


def wait_for_end(run: FoundRun) -> FoundRun:
    """Return the run once it has ended; one that was killed is closed, by its follower or else here."""
    gone = 0.0
    while (run := run.again()).record.status == "running":
        if is_gone(run.journal, run.record):
            gone = gone or time.monotonic()
            if time.monotonic() - gone > CLOSE_SECONDS:
                return FoundRun(run.journal, close_dead_run(run.journal, run.record))
        time.sleep(POLL_SECONDS)
    return run


def refuse_while_live(runs: list[LiveRun]) -> None:
    """Raise RuntimeError naming the live runs, if any."""
    if runs:
        what = ", ".join(_named(run) for run in runs)
        raise RuntimeError(
            f"{plural(len(runs), 'run')} of this home {'is' if len(runs) == 1 else 'are'} live: {what}. To stop: folio down --drain"
        )


def drain_runs(runs: list[LiveRun]) -> None:
    """Ask the runs to stop at a checkpoint, and return when all have."""
    show_on_terminal()
    found = [run for run in map(_recorded, runs) if run is not None]
    for run in found:
        log(f"run {run.record.id} ({run.record.recipe}): asked to stop; waiting for its checkpoint")
        ask_to_stop(run, now=False)
    for run in found:
        log(f"run {run.record.id}: {wait_for_end(run).record.status}")


def _named(run: LiveRun) -> str:
    found = _recorded(run)
    return f"{run.id} ({found.record.recipe}, since {local_time(found.record.started)})" if found else run.id


def log_lines(run: FoundRun, stage: str, *, follow: bool) -> Iterator[str]:
    """Yield the lines of a run's log, of all its stages or of one; with `follow` until it has ended. Raises LookupError without a log."""
    path = log_path(home(), run.record.id)
    if not path.exists():
        where = f"it ran on {run.record.host}, whose folio home has it" if run.record.host != socket.gethostname() else f"{path} is missing"
        raise LookupError(f"The log of run {run.record.id} is not here: {where}.")
    with path.open(encoding="utf-8", errors="replace") as stream:
        belongs = True
        while True:
            ended = not follow or run.again().status != "running"
            while line := stream.readline():
                # A line without a time continues the one before.
                belongs = _is_about(line, stage) if line[:2] == "20" else belongs
                if belongs:
                    yield line.rstrip("\n")
            if ended:
                return
            time.sleep(POLL_SECONDS)


def _is_about(line: str, stage: str) -> bool:
    text = line.partition(" ")[2].strip()
    return not stage or (text.startswith(stage) and text[len(stage) : len(stage) + 1] in (":", ".", "[", " "))


def newest_progress(run: FoundRun) -> dict[str, str]:
    """Return the newest progress of each position, from the run's log."""
    with suppress(LookupError):
        return progress_in(log_lines(run, "", follow=False))
    return {}


def progress_in(lines: Iterable[str]) -> dict[str, str]:
    """Return the newest progress of each position that lines of a log tell."""
    found: dict[str, str] = {}
    for line in lines:
        position, separator, rest = line.partition(" ")[2].strip().partition(": ")
        if separator and "/" in rest.partition(" ")[0]:
            found[without_shard(position)] = f"{position}: {rest}"
    return found


TAIL = 1 << 18  # bytes


def last_lines(run_id: str) -> list[str]:
    """Return the last lines of a run's log, at most a quarter of a megabyte; none if this home has no log of it."""
    try:
        with log_path(home(), run_id).open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - TAIL))
            lines = stream.read(TAIL).decode("utf-8", errors="replace").split("\n")
    except OSError:
        return []
    # The first is cut unless the log is short; the last is empty unless it is being written.
    return [line for line in (lines if size <= TAIL else lines[1:]) if line]


def checkpoints(run: FoundRun) -> dict[str, str]:
    """Return the last checkpoint of each executing position."""
    steps = {position: checkpoint_step(run.journal.store, position, stage.key) for position, stage in run.record.stages.items()}
    return {position: f"last checkpoint: step {step}" for position, step in steps.items() if step}


def checkpoint_step(store: Store, position: str, key: str) -> int:
    """Return the step of the newest checkpoint of the execution of a key that is under way or was interrupted; 0 without one."""
    if store.local_root is None:
        return 0
    folder = store.local_root / ".staging" / f"{without_shard(position).partition('.')[0]}-{key[:16]}"
    steps = [0]
    for latest in (path for path in folder.glob("*/resume/latest.json") if not path.parts[-3].startswith("aside-")):
        with suppress(OSError, ValueError, KeyError):
            steps.append(json.loads(latest.read_text())["step"])
    return max(steps)


def close_dead_runs() -> None:
    """Mark runs in folio's own store that died as crashed, bring both servers up to date, and wait for that."""
    show_on_terminal()
    settling = settle_earlier_runs(Journal(open_store(store_url(), Path.cwd(), home())), _servers())
    if settling is not None:
        settling.wait()


def sync(store: str) -> tuple[list[str], bool]:
    """Bring MLflow and Prefect up to date with a store's journal; return one line for each run, and whether all succeeded."""
    journal = Journal(open_store(store or store_url(), Path.cwd(), home()))
    done = list(synchronize(journal, _servers()))
    lines = []
    for one in done:
        problems = "; ".join(f"{name}: {problem}" for name, problem in one.problems.items())
        lines.append(f"run {one.run.id} of {one.run.recipe}, {one.run.status}: {f'not told ({problems})' if problems else 'told'}")
    return lines or ["nothing to do: MLflow and Prefect know every run of this store"], not any(one.problems for one in done)


def _servers() -> Servers:
    return Servers(tracking_url(), f"{servers.prefect_server().url}/api", home())
