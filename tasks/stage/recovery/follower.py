"""The follower of a run: a process that copies the journal to MLflow during the run, and settles the run when it has ended.

The run sends it a byte whenever the journal has changed. End of file means that the run's process is gone, even by kill -9: then the
follower closes the run if that did not (`settlement`), so no state stays running. A server that can't be reached is retried for
two minutes, and after that by the next run, `folio up` and `folio sync`. If the follower dies with its run, the next run settles it.
The follower never holds up its run: it works at low priority, and imports MLflow when a stage executes or else after the run's end. It
takes about 30 MB without MLflow, 250 MB with it.
"""

from __future__ import annotations

import atexit
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.stage.system.interrupts import start_detached
from tasks.stage.system.locks import is_locked
from tasks.stage.system.progress import log

if TYPE_CHECKING:
    from tasks.stage.recovery.dead_runs import Servers
    from tasks.stage.recovery.settlement import Settlement
    from tasks.stage.store.journal import Journal, RunRecord
    from tasks.stage.store.store import Store

MAIN = "import sys; from tasks.stage.recovery.follower import main; main(*sys.argv[1:])"
GATHER_SECONDS = 0.5  # what changes within it is told at once
LAST_WORDS_SECONDS = 1.0
DELAYS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


class Follower:
    """The run's end of the pipe."""

    def __init__(self, store: Store, servers: Servers, run_id: str) -> None:
        self._process = _start(store, servers, [run_id], "follow")
        assert self._process.stdin is not None
        self._pipe = self._process.stdin.fileno()
        os.set_blocking(self._pipe, False)

    def notify(self) -> None:
        """Say that the journal has changed."""
        # A follower that was killed is replaced by the next run; one that is behind has a byte to read already.
        with suppress(BrokenPipeError, BlockingIOError):
            os.write(self._pipe, b".")

    def dismiss(self) -> None:
        """Say that the run has ended, in Prefect as well, while its process may live on."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()


_ended: list[Follower] = []
"""Followers of ended runs. Prefect's flow run ends a little later, so they are dismissed by the next run or when the process ends."""


@atexit.register
def _dismiss() -> None:
    while _ended:
        _ended.pop().dismiss()


@contextmanager
def followed(store: Store, record: RunRecord, servers: Servers) -> Iterator[Callable[[], None]]:
    """Have a run followed in the block and after it; yields what is to be called whenever its journal has changed."""
    _dismiss()
    follower = Follower(store, servers, record.id)
    try:
        yield follower.notify
    finally:
        _ended.append(follower)


def settle_earlier_runs(journal: Journal, servers: Servers) -> subprocess.Popen[bytes] | None:
    """Start to settle what earlier runs of a store have left; return None when there is nothing. Looks only at notes and locks."""
    if dead := journal.dead():
        several = len(dead) > 1
        log(f"{'runs' if several else 'run'} {', '.join(dead)} died without finishing; marking {'them' if several else 'it'} as crashed")
    urls = [url for url in (servers.mlflow, servers.prefect) if url]
    owing = [run_id for run_id in journal.owing() if any(journal.owes(run_id, url) for url in urls)]
    left = [*dead, *(run_id for run_id in owing if not is_locked(servers.lock_of(run_id)))]
    if not left:
        return None
    process = _start(journal.store, servers, left, "settle")
    assert process.stdin is not None
    process.stdin.close()
    return process


def _start(store: Store, servers: Servers, run_ids: Sequence[str], what: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", MAIN, what, store.url, str(store.cache), *run_ids]
    process = start_detached(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert process.stdin is not None
    # Not as an argument, since an address may hold a password.
    process.stdin.write(servers.to_json().encode() + b"\n")
    process.stdin.flush()
    return process


class Changes:
    """The follower's end of the pipe. `over`: the run is gone, or has dismissed its follower."""

    def __init__(self, pipe: int) -> None:
        self._pipe, self.over = pipe, False

    def wait(self, seconds: float | None = None) -> None:
        """Wait until the journal has changed or the run is over, or for some time."""
        if not self.over and select.select([self._pipe], [], [], seconds)[0]:
            self.over = not os.read(self._pipe, 1 << 16)

    def wait_for_end(self, seconds: float) -> None:
        """Wait until the run is over, at most for some time, whatever changes meanwhile."""
        until = time.monotonic() + seconds
        while not self.over and (left := until - time.monotonic()) > 0:
            self.wait(left)


def main(what: str, url: str, cache: str, *run_ids: str) -> None:
    """Follow one run, or settle several that have ended."""
    os.nice(5)
    with open(0, "rb", buffering=0, closefd=False) as stream:  # a buffer would swallow what follows the line
        line = stream.readline().decode()
    changes = Changes(0)
    if what == "follow":
        # Nothing is to be told before something has changed, so a run that reuses everything has the processors to itself.
        changes.wait()
        # Nor while it ends: a run that reuses everything changes its journal once, with its last words.
        changes.wait_for_end(LAST_WORDS_SECONDS)
    from tasks.stage.recovery.dead_runs import Servers
    from tasks.stage.recovery.settlement import settlement
    from tasks.stage.store.journal import Journal
    from tasks.stage.store.store import Store

    servers, journal = Servers.from_json(line), Journal(Store(url, Path(cache)))
    if what == "settle":
        left = False
        for run_id in run_ids:
            with suppress(BlockingIOError), settlement(journal, servers, run_id, wait=False) as run:
                left = bool(run.close()) or left
        raise SystemExit(left)
    with settlement(journal, servers, run_ids[0], wait=True) as run:
        _follow(run, changes)
        left = bool(run.close())
    for delay in DELAYS if left else ():
        time.sleep(delay)
        # In a process of its own, since MLflow keeps its connections to a file that was replaced.
        if not _start(journal.store, servers, run_ids, "settle").wait():
            return


def _follow(run: Settlement, changes: Changes) -> None:
    news = threading.Event()
    teller = threading.Thread(target=_tell, args=(run, changes, news))
    teller.start()
    try:
        while not changes.over:
            news.set()
            changes.wait()
        # At once, however long MLflow takes.
        run.close_if_dead()
    finally:
        # The process lives until the thread has ended, so a disk that is full here may not leave it waiting.
        changes.over = True
        news.set()
        teller.join()


def _tell(run: Settlement, changes: Changes, news: threading.Event) -> None:
    delays = iter(DELAYS)
    while True:
        news.clear()
        if changes.over:
            return
        if run.tell_progress():
            news.wait(next(delays, DELAYS[-1]))
        else:
            delays = iter(DELAYS)
            time.sleep(GATHER_SECONDS)
            news.wait()
