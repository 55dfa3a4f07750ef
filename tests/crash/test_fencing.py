"""A writer that is suspended for longer than its lease changes nothing that its successor has committed, wherever it was suspended."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tasks.stage.store.artifact import RECORD, Artifact
from tasks.stage.store.garbage import collect_garbage
from tasks.stage.store.store import Store
from tests.crash.fenced import FILES
from tests.crash.launching import ROOT
from tests.s3_server import BUCKET, s3_server

LEASE = 1.0
NAMED = {"LeaseLost"}


class Writer:
    """A process that writes, with all that it has started."""

    def __init__(self, name: str, folder: Path, store: str, leased: bool, environment: dict[str, str]) -> None:
        command = [sys.executable, "-m", "tests.crash.fenced", name, str(folder), store, str(folder / "home"), "yes" if leased else "no"]
        self.log = folder / f"{name}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, env=environment, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self.stopped: list[psutil.Process] = []

    def begin(self, number: int, point: int = 0) -> None:
        """Let it write the artifact of a round, up to a point if one is given."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{number} {point}\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        """Wait for the line that says how it ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        while line.startswith(("mingle", "collect")):
            line = self.process.stdout.readline()
        assert line, self.log.read_text()
        return line.strip()

    def stop(self, *, children: bool) -> None:
        """Suspend it, with what it has started or alone."""
        own = psutil.Process(self.process.pid)
        self.stopped = [own, *(own.children(recursive=True) if children else ())]
        for process in self.stopped:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)

    def wait_until_stopped(self) -> None:
        """Wait until it has come to its point, or has ended without."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + 120
        while psutil.Process(self.process.pid).status() != psutil.STATUS_STOPPED and not self.has_answered():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.005)

    def has_answered(self) -> bool:
        """Return whether an answer can be read."""
        assert self.process.stdout is not None
        return bool(select.select([self.process.stdout], [], [], 0)[0])

    def lost(self) -> int:
        """Return how often it said that it had lost its lock."""
        return self.log.read_text().count("this process was suspended, or did not reach the store")

    def wake(self) -> None:
        """Let all of it go on."""
        for process in self.stopped:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)
        self.stopped = []

    def end(self) -> None:
        """Let it end by itself, or kill it."""
        self.wake()
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(60)
        finally:
            self.process.kill()


@dataclass(frozen=True)
class Round:
    """One round: where the first writer was suspended, whether it held the lock then and lost it, and how both ended."""

    where: str
    with_children: bool
    lost: bool
    first: str
    second: str


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where the store is."""
    monkeypatch.setenv("FOLIO_LEASE_SECONDS", str(LEASE))
    if request.param == "disk":
        yield str(tmp_path / "store")
        return
    pytest.importorskip("s3fs")
    with s3_server() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield f"s3://{BUCKET}/store"


@contextmanager
def writers(folder: Path, store: str) -> Iterator[tuple[Writer, Writer]]:
    """Two writers that share a store and a home."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    both = Writer("first", folder, store, "://" not in store, environment), Writer("second", folder, store, "://" not in store, environment)
    try:
        assert [writer.answer() for writer in both] == ["ready", "ready"]
        yield both
    finally:
        for writer in both:
            writer.end()


def content(store: Store, location: str) -> tuple[bytes, dict[str, bytes]]:
    """The record and the files of an artifact, as they are in the store now."""
    store.fs.invalidate_cache()
    record = store.fs.cat_file(f"{store.root}/{location}/{RECORD}")
    made = Artifact.unsealed(record)
    return record, {file.path: store.fs.cat_file(f"{store.root}/{made.files_at}/{file.path}") for file in made.files}


def left(store: Store) -> list[str]:
    """The files of a store, the journal aside, and leases on a disk, which are there for these tests alone."""
    store.fs.invalidate_cache()
    paths = (str(path)[len(store.root) + 1 :] for path in store.fs.find(store.root))
    return [path for path in paths if not path.startswith(".runs/") and ".lease/" not in path]


@pytest.mark.parametrize("rounds", [1, pytest.param(50, marks=pytest.mark.crash)])
def test_a_writer_that_wakes_up_after_its_lease_leaves_what_its_successor_has_committed(tmp_path: Path, place: str, rounds: int) -> None:
    chance, store, table = random.Random(f"{place.partition(':')[0]} {rounds}"), Store(place, tmp_path / "cache"), list[Round]()
    with writers(tmp_path, place) as (first, second):
        # Each works undisturbed first, to know how long one takes once all is loaded, and how many points it passes.
        for number, writer in enumerate((second, first, first), start=-2):
            began = time.monotonic()
            writer.begin(number)
            answer = writer.answer()
            assert answer.startswith("executed "), writer.log.read_text()
            whole, points = time.monotonic() - began, int(answer.split()[2])
        for number in range(1, rounds + 1):
            with_children, lost = chance.random() < 0.5, first.lost()
            if chance.random() < 0.5:
                seconds = chance.uniform(0, 1.1 * whole)
                where = f"after {seconds:.2f} s"
                first.begin(number)
                time.sleep(seconds)
            else:
                point = chance.randint(1, points)
                where = f"before operation {point} of {points}"
                first.begin(number, point)
                first.wait_until_stopped()
            first.stop(children=with_children)
            second.begin(number)
            how, location, _ = second.answer().split()
            before = content(store, location)
            first.wake()
            late = first.answer()
            assert late.split()[0] in {"executed", "reused"} | NAMED, first.log.read_text()
            assert content(store, location) == before, late
            check_unmixed(store, location, before)
            assert (how == "executed") + late.startswith("executed") == 1, (how, late)
            table.append(Round(where, with_children, first.lost() > lost, late.split()[0], how))
    print(report(place, whole, table))
    check_leftovers(store, tmp_path)


def check_unmixed(store: Store, location: str, found: tuple[bytes, dict[str, bytes]]) -> None:
    """All files are of one writer, and as the record has them."""
    made = store.index.read(location)
    assert isinstance(made, Artifact)
    assert store.check(made, digests=True) == ()
    assert len(found[1]) == FILES
    assert len(set(found[1].values())) == 1


def check_leftovers(store: Store, folder: Path) -> None:
    """Garbage collection finds all that is left, once it is old enough."""
    then = time.time() - 3 * 86400
    for path in (*folder.rglob(".staging/**/*"), *folder.rglob(".staging/*")):
        if path.exists():
            os.utime(path, (then, then))
    # Artifacts of runs that recorded no use of them go, and with them all that is beside them.
    collect_garbage(store, delete=True, keep=1, unrecorded=True)
    assert left(store) == ([".locks/store.lock"] if store.local_root is not None else [".locks/store.lock/1.json"])
    assert [path for path in folder.rglob(".staging/*/*")] == []


def report(place: str, whole: float, table: list[Round]) -> str:
    """The rounds as a table."""
    counts = Counter((round.lost, round.second, round.first) for round in table)
    lines = [f"{len(table)} rounds on {place}; one takes {whole:.1f} s, a lease lasts {LEASE:g} s"]
    for (lost, second, first), count in sorted(counts.items()):
        held = "lost its lock" if lost else "had no lock or nothing left to do"
        lines.append(f"  {count:2} late writer {held}: the successor {second}, the late writer {first}")
    alone = sum(not round.with_children for round in table)
    lines.append(f"  its processes were suspended with it in {len(table) - alone} rounds, and worked on in {alone}")
    return "\n".join(lines) + "\n" + "\n".join(json.dumps(vars(round)) for round in table)
