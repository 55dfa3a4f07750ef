"""Closing a dead run ends what it has left behind, never this process or its own, nor whoever has only a number in common."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.stage.execution.run_context import new_run_record
from tasks.stage.recovery.dead_runs import close_dead_run, is_gone, process_of
from tasks.stage.store.journal import Journal, RunRecord
from tasks.stage.store.store import Store
from tasks.stage.system.interrupts import RUN
from tasks.stage.system.process_identity import ProcessIdentity

THIS = ProcessIdentity.this()


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """The journal of an empty store."""
    return Journal(Store(str(tmp_path / "store"), tmp_path / "cache"))


@pytest.fixture
def dead() -> ProcessIdentity:
    """A process that has ended."""
    with subprocess.Popen(["sleep", "60"]) as process:
        identity = ProcessIdentity.of(process.pid)
        process.kill()
    assert identity is not None
    return identity


def run_of(process: ProcessIdentity) -> RunRecord:
    """The record of a run of a process, which says that it runs."""
    return new_run_record("toys", {}, {}).model_copy(update={"pid": process.pid, "host": process.host, "process": str(process)})


@contextmanager
def carrying(text: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose environment says whom it belongs to."""
    with subprocess.Popen(["sleep", "60"], env={**os.environ, RUN: text}, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


def is_killed(process: subprocess.Popen[bytes]) -> bool:
    try:
        return process.wait(0.3) == -9
    except subprocess.TimeoutExpired:
        return False


def test_what_a_dead_run_left_is_killed_and_what_has_its_number_in_common_is_not(journal: Journal, dead: ProcessIdentity) -> None:
    others = {
        "a run of a later process with its number": str(replace(dead, began="ticks 1")),
        "a run in another container": str(replace(dead, namespace="pid:[1] time:[1]")),
        "a run before the machine was started": str(replace(dead, boot="another")),
        "a run of older code": str(dead.pid),
        "this run": str(THIS),
    }
    with ExitStack() as stack:
        left = [stack.enter_context(carrying(str(identity))) for identity in (dead, replace(dead, host="renamed"))]
        spared = {which: stack.enter_context(carrying(text)) for which, text in others.items()}
        assert close_dead_run(journal, run_of(dead)).status == "crashed"
        assert all(map(is_killed, left))
        assert not [which for which, process in spared.items() if is_killed(process)]


@pytest.mark.parametrize(
    "update",
    [
        {"process": ""},
        {"process": str(os.getpid())},
        {"process": str(replace(THIS, namespace="pid:[1] time:[1]"))},
        {"process": str(replace(THIS, boot="another"))},
        {"process": str(THIS)},
    ],
    ids=["older code", "a mere number", "another container", "another boot", "a process that lives"],
)
def test_nothing_is_killed_for_a_run_whose_process_is_not_known_to_have_ended(journal: Journal, update: dict[str, str]) -> None:
    record = run_of(THIS).model_copy(update=update)
    with carrying(record.process) as one, carrying(str(record.pid)) as other:
        assert close_dead_run(journal, record).status == "crashed"
        assert not is_killed(one)
        assert not is_killed(other)


def test_a_run_given_within_a_body_of_a_dead_run_spares_itself_its_parents_and_its_children(dead: ProcessIdentity) -> None:
    inner = """
import subprocess, sys
from tasks.stage.recovery.dead_runs import kill_workers
from tasks.stage.execution.run_context import new_run_record
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
kill_workers(new_run_record("toys", {}, {}).model_copy(update={"process": sys.argv[1]}))
print(child.poll())
child.kill()
"""
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}, sys.argv[1]], check=True)"
    with carrying(str(dead)) as left:
        command = [sys.executable, "-c", outer, str(dead)]
        environment = {**os.environ, RUN: str(dead)}
        said = subprocess.run(command, env=environment, capture_output=True, text=True, start_new_session=True, check=False)
        assert (said.returncode, said.stdout) == (0, "None\n"), said.stderr
        assert is_killed(left)


def test_a_run_lives_while_its_lock_is_held_even_where_its_process_cannot_be_seen(journal: Journal, dead: ProcessIdentity) -> None:
    beside = run_of(replace(THIS, namespace="pid:[1] time:[1]"))
    with journal.running(beside):
        assert not is_gone(journal, beside)
        assert process_of(beside) is None
        assert journal.dead() == []
    assert is_gone(journal, beside)
    ended = run_of(dead)
    with journal.running(ended):
        assert is_gone(journal, ended), "nobody waits for a lease of a process that is seen to have ended"


def test_a_record_of_older_code_is_read_and_its_run_is_judged_by_its_lock(journal: Journal) -> None:
    older = new_run_record("toys", {}, {}).model_dump_json(exclude={"process"}, by_alias=True)
    record = RunRecord.model_validate_json(older)
    assert (record.pid, record.identity, process_of(record)) == (os.getpid(), None, None)
    with journal.running(record):
        assert not is_gone(journal, record)
    assert is_gone(journal, record)
