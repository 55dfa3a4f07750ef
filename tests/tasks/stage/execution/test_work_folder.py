"""Work that was interrupted is continued by the same code alone, and counts in the trace of what it became."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from tasks.stage.execution.execute_stage import WorkFolder
from tasks.stage.execution.trace_check import TraceChecker
from tasks.stage.identity.tracing.source import Source
from tasks.stage.store.store import Store
from tasks.stage.system.locks import LeaseLost, Lock
from tests.tasks.records import OnlyWriter
from tests.tasks.toy_bodies import Learn
from tests.tasks.toys import Toys, Workshop

INTERRUPTED = """
    executed("learn")
    begun = work.resume / "begun.txt"
    if not begun.exists():
        begun.write_text(first())
        raise KeyboardInterrupt
    begun.write_text(begun.read_text() + second())
    (work.output / "begun.txt").write_text(begun.read_text())"""
PARTS = """
def first():
    return "first"

def second():
    return " second"

@stage(model=True)"""


@pytest.fixture
def interrupted(worked: Workshop) -> Workshop:
    """The toy pipeline after `learn` was stopped half way."""
    worked.edit('\n    executed("learn")', INTERRUPTED)
    worked.edit("\n@stage(model=True)", PARTS)
    with pytest.raises(KeyboardInterrupt):
        worked.run()
    assert worked.executed == ["learn"]
    return worked


def text(workshop: Workshop) -> str:
    return (workshop.folder_of(workshop.made()["learn"]) / "begun.txt").read_text()


def ran(workshop: Workshop) -> set[str]:
    """The names of what `learn` ran, by its record's trace."""
    store = Store(workshop.store, workshop.home / "cache")
    trace = TraceChecker(store, Source.of(workshop.code.parent), None).recorded(workshop.made()["learn"])
    assert trace is not None
    return {entry.rpartition(":")[2] for entry in trace.entries if entry.startswith("ran ")}


def test_what_was_interrupted_is_continued_and_its_record_names_what_both_executions_ran(interrupted: Workshop) -> None:
    interrupted.run()
    assert text(interrupted) == "first second"
    assert ran(interrupted) == {"learn", "first", "second", "weights"}
    interrupted.edit('return "first"', 'return "1st"')
    assert {d.position for d in interrupted.plan() if d.action == "run"} == {"learn"}


def test_what_other_code_has_begun_is_set_aside_with_the_cause(interrupted: Workshop, caplog: pytest.LogCaptureFixture) -> None:
    interrupted.edit('return "first"', 'return "1st"')
    with caplog.at_level(logging.INFO, "folio"), pytest.raises(KeyboardInterrupt):
        interrupted.run()
    assert "learn: begins anew, since what was interrupted ran other code: ran `first` in toystages.py, which changed" in caplog.messages
    interrupted.run()
    assert text(interrupted) == "1st second"


def test_an_edit_of_what_has_not_run_yet_continues(interrupted: Workshop) -> None:
    interrupted.edit('return " second"', 'return " 2nd"')
    interrupted.run()
    assert text(interrupted) == "first 2nd"


def test_what_was_set_aside_is_continued_when_its_code_comes_back(interrupted: Workshop) -> None:
    interrupted.edit('return "first"', 'return "1st"')
    with pytest.raises(KeyboardInterrupt):
        interrupted.run()
    interrupted.edit('return "1st"', 'return "first"')
    interrupted.edit('return " second"', 'return " 2nd"')
    interrupted.run()
    assert text(interrupted) == "first 2nd"


def test_work_without_marks_is_not_continued(interrupted: Workshop) -> None:
    for log in (Path(interrupted.store) / ".staging").glob("learn-*/*/marks/*"):
        log.unlink()
    with pytest.raises(KeyboardInterrupt):
        interrupted.run()
    assert interrupted.executed == ["learn"]


def test_another_setting_begins_work_of_its_own(interrupted: Workshop) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted.run(Toys(learn=Learn(rate=0.25)))
    folders = (Path(interrupted.store) / ".staging").glob("learn-*/*/resume/begun.txt")
    assert [path.read_text() for path in folders] == ["first", "first"]
    assert json.loads((next((Path(interrupted.home) / "cache" / "source").glob("*.json"))).read_text())["files"]


class Lost(Lock):
    """A lock that somebody else has by now."""

    def held(self) -> bool:
        """False."""
        return False


def base_of(workshop: Workshop) -> Path:
    """The folder of all work for `learn`."""
    (found,) = (Path(workshop.store) / ".staging").glob("learn-*")
    return found


def checker(workshop: Workshop) -> TraceChecker:
    store = Store(workshop.store, workshop.home / "cache")
    source = Source.snapshot(workshop.code.parent, workshop.home / "cache" / "source", exclude=[workshop.home, Path(workshop.store)])
    return TraceChecker(store, source, workshop.home / "cache" / "traces")


def as_killed(workshop: Workshop) -> Path:
    """Let the interrupted work look as if its owner was killed, or is suspended: it has not said that its processes ended."""
    (left,) = base_of(workshop).glob("left-*")
    return left.rename(left.with_name(left.name.removeprefix("left-")))


def test_what_was_left_by_an_owner_that_was_killed_is_continued(interrupted: Workshop) -> None:
    as_killed(interrupted)
    interrupted.run()
    assert text(interrupted) == "first second"
    assert list((Path(interrupted.store) / ".staging").iterdir()) == []


def test_a_predecessor_that_wakes_up_can_t_write_into_what_its_successor_has_taken_over(interrupted: Workshop) -> None:
    earlier = as_killed(interrupted)
    with (earlier / "resume" / "begun.txt").open("a") as opened:
        work = WorkFolder(base_of(interrupted), "learn", checker(interrupted), OnlyWriter("b" * 32))
        opened.write(" by the predecessor")
        opened.flush()
        with pytest.raises(FileNotFoundError):
            (earlier / "resume" / "more.txt").write_text("by the predecessor")
    assert work.earlier is not None
    assert {path.name: path.read_text() for path in (work.folder / "resume").iterdir()} == {"begun.txt": "first"}
    assert [path.name for path in work.base.iterdir()] == ["b" * 32]


def test_an_owner_that_has_lost_its_lock_takes_nothing_from_its_successor(interrupted: Workshop) -> None:
    work = WorkFolder(base_of(interrupted), "learn", checker(interrupted), OnlyWriter("b" * 32))
    with pytest.raises(LeaseLost):
        WorkFolder(base_of(interrupted), "learn", checker(interrupted), Lost("a" * 32))
    assert (work.folder / "resume" / "begun.txt").read_text() == "first"
    assert [path.name for path in work.base.iterdir()] == ["b" * 32]


def test_a_successor_that_dies_while_it_takes_over_loses_none_of_the_work(interrupted: Workshop) -> None:
    earlier = as_killed(interrupted)
    taken = earlier.rename(earlier.with_name(f"taken-{'c' * 32}"))
    (taken.parent / ("b" * 32) / ".resume").mkdir(parents=True)
    (taken.parent / ("b" * 32) / ".resume" / "begun.txt").write_text("fi")
    interrupted.run()
    assert text(interrupted) == "first second"
