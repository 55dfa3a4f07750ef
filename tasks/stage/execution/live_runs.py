"""The live runs of a home, in any store: each locks a file, which tells a live run from one whose process died.

`folio down` holds the home closed while it stops the servers: a run that starts meanwhile waits until it is open again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tasks.stage.execution.run_log import run_log
from tasks.stage.store.journal import RunRecord
from tasks.stage.store.store import Store
from tasks.stage.system.interrupts import interrupts_recorded
from tasks.stage.system.locks import is_locked, local_lock, shared_lock
from tasks.stage.system.progress import log

LIVE = "live"
_used: set[Path] = set()


@dataclass(frozen=True)
class LiveRun:
    """A run that is going on, and the URL of its store."""

    id: str
    store: str


@contextmanager
def home_in_use(home: Path) -> Iterator[None]:
    """Keep the servers of a home up for the block. Waits while `folio down` is under way."""
    if home in _used:
        yield
        return
    with shared_lock(_closed(home), lambda: log("folio down is under way in this home; waiting for it")):
        pass
    with shared_lock(home / LIVE / "use.lock", lambda: None):
        _used.add(home)
        try:
            yield
        finally:
            _used.discard(home)


@contextmanager
def attended(home: Path, record: RunRecord, store: Store) -> Iterator[None]:
    """During the block, handle signals, write the run's log, and make the run visible to this home's commands."""
    with interrupts_recorded(), announced(home, record, store), run_log(home, record.id):
        yield


@contextmanager
def announced(home: Path, record: RunRecord, store: Store) -> Iterator[None]:
    """Make a run visible to this home's commands during the block."""
    path = home / LIVE / record.id
    with home_in_use(home), local_lock(path, lambda: None):
        path.write_text(store.url)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def live_runs(home: Path) -> list[LiveRun]:
    """Return the runs that are going on in a home, oldest first."""
    paths = sorted(path for path in (home / LIVE).glob("*") if path.suffix != ".lock")
    return [LiveRun(path.name, path.read_text()) for path in paths if is_locked(path)]


@contextmanager
def closed_to_runs(home: Path, drained: Callable[[list[LiveRun]], None]) -> Iterator[None]:
    """Keep runs from starting during the block. `drained` gets the live runs, and returns when they have ended, or raises."""
    with local_lock(_closed(home), lambda: None):
        drained(live_runs(home))
        # A run that has only begun to start is not seen yet, but it uses the home.
        with local_lock(home / LIVE / "use.lock", lambda: log("a command is using this home; waiting for it")):
            yield


def _closed(home: Path) -> Path:
    return home / LIVE / "down.lock"
