"""A run is asked to stop only where its process is seen, and called dead only when nobody holds its lock."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flows.cli import running
from flows.cli.running import FoundRun, ask_to_stop, wait_for_end
from tasks.stage.execution.run_context import new_run_record
from tasks.stage.store.journal import Journal
from tasks.stage.store.store import Store
from tasks.stage.system.process_identity import ProcessIdentity

THIS = ProcessIdentity.this()
BESIDE = replace(THIS, namespace="pid:[1] time:[1]")


@pytest.fixture
def signals() -> Iterator[list[int]]:
    """The signals that this process gets instead of being stopped by them."""
    got: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: got.append(number))
    yield got
    signal.signal(signal.SIGTERM, before)


def run(folder: Path, process: str, host: str = THIS.host) -> FoundRun:
    """A run of a process with the number of this one."""
    journal = Journal(Store(str(folder / "store"), folder / "cache"))
    return FoundRun(journal, new_run_record("toys", {}, {}).model_copy(update={"process": process, "host": host, "pid": os.getpid()}))


@pytest.mark.parametrize(
    ("process", "host", "why"),
    [
        (BESIDE, THIS.host, f"is in another container of {THIS.host}, or on another machine of that name; stop it there: folio stop"),
        (replace(THIS, boot="other"), "elsewhere", "is on elsewhere; stop it there: folio stop"),
        ("", THIS.host, "recorded only its process's number. Make sure that PID is it: kill PID"),
    ],
    ids=["another container", "another machine", "a number alone"],
)
def test_a_live_run_that_cannot_be_seen_is_not_signalled(process: object, host: str, why: str, tmp_path: Path, signals: list[int]) -> None:
    found = run(tmp_path, str(process), host)
    with found.journal.running(found.record), pytest.raises(RuntimeError, match=why.replace("PID", str(os.getpid()))):
        ask_to_stop(found, now=False)
    assert signals == []


def test_a_live_run_that_is_seen_is_signalled_and_one_whose_lock_is_free_is_not(tmp_path: Path, signals: list[int]) -> None:
    found = run(tmp_path, str(THIS))
    with found.journal.running(found.record):
        ask_to_stop(found, now=False)
    assert signals == [signal.SIGTERM]
    ask_to_stop(found, now=True)
    assert signals == [signal.SIGTERM], "its process has gone on to other work"


def test_a_dead_run_of_another_container_is_waited_for_no_longer_than_a_follower_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "CLOSE_SECONDS", 0.1)
    found = run(tmp_path, str(BESIDE))
    found.journal.write(found.record)
    assert wait_for_end(found).status == "crashed"
