"""A watchdog process that closes a run whose process is killed, so that it is recorded as crashed instead of running for ever.

When the process of a run dies, even by kill -9, its watchdog closes within seconds what it left open; `crash_cleanup` says how. If the
watchdog dies with it, as in a power cut, `sweep` does the same when the next run opens the store.
A watchdog is a shell that waits on a pipe, about 2 ms and 1 MB a run; it starts Python only after the run has died.
"""

from __future__ import annotations

import atexit
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tasks.stage.store.journal import Journal, RunRecord
from tasks.stage.store.store import Store
from tasks.stage.system.progress import log
from tasks.stage.system.subprocesses import start_detached

WAIT = 'read -r word; test "$word" = done || exec "$@"'


class Watchdog:
    """Watches over the run of a record until it is dismissed."""

    def __init__(self, store: Store, record: RunRecord, tracking: str) -> None:
        command = ["/bin/sh", "-c", WAIT, "folio-guardian", *_burial(store, [record.id], tracking, last=False)]
        self._process = _apart(command, subprocess.PIPE)

    def dismiss(self) -> None:
        """Nothing is open any more."""
        with suppress(BrokenPipeError):  # someone ended the guardian, which has nothing left to do
            self._process.communicate(b"done\n")


_relieved: list[Watchdog] = []
"""Guardians of runs that have closed. Prefect's flow run ends a little later, so the next run dismisses them, or the end of the process."""


@atexit.register
def _dismiss() -> None:
    while _relieved:
        _relieved.pop().dismiss()


@contextmanager
def watched(store: Store, record: RunRecord, tracking: str) -> Iterator[None]:
    """Have the run of a record watched over for the block, which closes it itself if it can. `tracking`: MLflow's database, or ""."""
    _dismiss()
    guardian = Watchdog(store, record, tracking)
    try:
        yield
    finally:
        _relieved.append(guardian)


def sweep_dead_runs(journal: Journal, tracking: str) -> subprocess.Popen[bytes] | None:
    """Start to close what dead runs left open in a store; None when there is nothing. Looks at the runs that have a lock, and no others."""
    dead = journal.dead()
    if not dead:
        return None
    several = len(dead) > 1
    log(f"{'runs' if several else 'run'} {', '.join(dead)} died without an end; marked as crashed now")
    return _apart(_burial(journal.store, dead, tracking, last=True), subprocess.DEVNULL)


def _burial(store: Store, run_ids: list[str], tracking: str, *, last: bool) -> list[str]:
    code = "import sys; from tasks.stage.recovery.crash_cleanup import main; main(*sys.argv[1:])"
    return [sys.executable, "-c", code, store.url, str(store.cache), tracking, "last" if last else "", *run_ids]


def _apart(command: list[str], told: int) -> subprocess.Popen[bytes]:
    return start_detached(command, stdin=told, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
