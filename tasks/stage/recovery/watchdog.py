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

# End of file on the pipe means that the run died without dismissing its watchdog.
WAIT = 'read -r word; test "$word" = done || exec "$@"'


class Watchdog:
    """Watches over a run until it is dismissed."""

    def __init__(self, store: Store, record: RunRecord, tracking: str) -> None:
        command = ["/bin/sh", "-c", WAIT, "folio-watchdog", *_cleanup_command(store, [record.id], tracking, last=False)]
        self._process = _start(command, subprocess.PIPE)

    def dismiss(self) -> None:
        """End the watch: nothing is open any more."""
        with suppress(BrokenPipeError):  # the watchdog was killed, and has nothing left to do
            self._process.communicate(b"done\n")


_closed: list[Watchdog] = []
"""Watchdogs of closed runs. Prefect's flow run ends a little later, so they are dismissed by the next run or when the process ends."""


@atexit.register
def _dismiss() -> None:
    while _closed:
        _closed.pop().dismiss()


@contextmanager
def watched(store: Store, record: RunRecord, tracking: str) -> Iterator[None]:
    """Watch over a run for the block, which closes the run itself if it can. `tracking`: MLflow's database, or ""."""
    _dismiss()
    watchdog = Watchdog(store, record, tracking)
    try:
        yield
    finally:
        _closed.append(watchdog)


def sweep_dead_runs(journal: Journal, tracking: str) -> subprocess.Popen[bytes] | None:
    """Start to close what dead runs left open in a store; return None when there is none. Looks only at runs that have a lock."""
    dead = journal.dead()
    if not dead:
        return None
    several = len(dead) > 1
    log(f"{'runs' if several else 'run'} {', '.join(dead)} died without finishing; marking {'them' if several else 'it'} as crashed")
    return _start(_cleanup_command(journal.store, dead, tracking, last=True), subprocess.DEVNULL)


def _cleanup_command(store: Store, run_ids: list[str], tracking: str, *, last: bool) -> list[str]:
    code = "import sys; from tasks.stage.recovery.crash_cleanup import main; main(*sys.argv[1:])"
    return [sys.executable, "-c", code, store.url, str(store.cache), tracking, "last" if last else "", *run_ids]


def _start(command: list[str], stdin: int) -> subprocess.Popen[bytes]:
    return start_detached(command, stdin=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
