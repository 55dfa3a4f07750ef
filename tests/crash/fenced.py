"""A writer that makes one artifact a round: `python -m tests.crash.fenced NAME FOLDER STORE HOME LEASED`.

It reads lines of two numbers, a round and a point, and answers how the round ended: `executed` or `reused`, with the artifact's location
and the number of points that it passed, or the name of an error. A point is an operation on files; it suspends itself before the given
one, and not at all at point 0. Each file of what it makes names the process that wrote it, so files of two writers can be told apart.
LEASED: `yes` uses leases on a disk too.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tasks.stage.execution.execute import run_job
from tasks.stage.execution.job import BufferedReporter, JobContext, StageJob
from tasks.stage.execution.run import PipelineRun, RunOptions
from tasks.stage.identity.tracing.libraries import installed
from tasks.stage.store.store import Store
from tasks.stage.system.leases import lease_lock
from tasks.stage.system.locks import Lock
from tests.tasks import toys
from tests.tasks.toy_bodies import Collect

FILES = 12
CHANGES = {"open", "os.rename", "os.link", "os.remove", "os.rmdir", "os.scandir", "os.listdir", "os.mkdir", "shutil.rmtree"}
SOURCE = f"""
import os, time
from tasks.stage.stage import stage

@stage()
def mingle(config, work):
    writer = f"{{os.getpid()}} {{time.time_ns()}} "
    for number in range({FILES}):
        (work.resume / f"{{number}}.txt").write_text(writer * 50)
        (work.output / f"{{number}}.txt").write_text(writer * 500)
        work.meter.show(number, {FILES}, "", None)
        time.sleep(0.03)
    return {{"written": {FILES}}}
"""


class LeasedStore(Store):
    """A store on a disk that is locked as an object store is."""

    @contextmanager
    def lock(self, key: str, on_wait: Callable[[str], None]) -> Iterator[Lock]:
        """Hold a lease on the disk."""
        with lease_lock(self.fs, f"{self.root}/.locks/{key}.lease", on_wait, self.lease_seconds) as lease:
            yield lease


class Points:
    """Counts the operations on files, as Python's audit events show them, of the thread that writes."""

    def __init__(self) -> None:
        self.passed, self.stop_at, self.thread = 0, 0, threading.get_ident()
        sys.addaudithook(self.hook)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Called by Python at every event."""
        if event in CHANGES and threading.get_ident() == self.thread:
            self.passed += 1
            if self.passed == self.stop_at:
                os.kill(os.getpid(), signal.SIGSTOP)


class Writer(toys.Workshop):
    """A repository of one stage."""

    first = SOURCE

    def write(self, run: PipelineRun, number: int) -> str:
        """Make the artifact of a round, or use it; return which, and its location."""
        call = self.stages.mingle.decide_call(run, Collect(words=f"round {number}"), {}, None)
        store = LeasedStore(run.store.url, run.store.cache) if self.leased else run.store
        context = JobContext(store, run.root, run.home, run.record.id, "", run.traces, installed(run.traces.cache).versions)
        outcome = run_job(StageJob(context, call, run.resources, BufferedReporter()))
        return f"{'executed' if outcome.executed else 'reused'} {outcome.artifact.location} {self.points.passed}"

    leased = False
    points: Points


def main(name: str, folder: Path, store: str, home: str, leased: str) -> None:
    """Write what is asked for until nothing is."""
    (folder / name).mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        writer = Writer(folder / name, patch)
        writer.store, writer.home, writer.leased = store, Path(home), leased == "yes"
        writer.points = Points()
        with writer._opened(toys.Toys(), RunOptions()) as run:
            logging.getLogger("folio").addHandler(logging.StreamHandler(sys.stderr))
            print("ready", flush=True)
            for line in sys.stdin:
                number, point = map(int, line.split())
                writer.points.passed, writer.points.stop_at = 0, point
                try:
                    print(writer.write(run, number), flush=True)
                except Exception as error:  # noqa: BLE001  # each is told to the test, which knows those that may come
                    traceback.print_exc()
                    print(f"{type(error).__name__} {str(error).splitlines()[0]}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
