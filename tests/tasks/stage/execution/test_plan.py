"""A plan names what a run will do and the exact cause, and a run does what the plan said."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tasks.stage.execution.plan import Decision, compare
from tasks.stage.identity.tracing import trace
from tasks.stage.identity.tracing.libraries import installed
from tests.tasks.toy_bodies import Collect, Count, Judge, Learn
from tests.tasks.toys import BODIES, POSITIONS, Toys, Workshop

UNCHANGED = Toys()


@dataclass(frozen=True)
class Edit:
    """A change since the last run, what the plan must say about it, and which bodies run then."""

    name: str
    executes: tuple[str, ...]
    cause: str
    recipe: Toys = UNCHANGED
    source: tuple[str, str] = ("", "")
    book: str = ""
    library: str = ""
    refresh: tuple[str, ...] = ()


EDITS = (
    Edit("nothing", (), ""),
    Edit("a_field", ("learn", "judge"), "rate: 0.5 -> 0.25", recipe=Toys(learn=Learn(rate=0.25))),
    Edit("the_last_stage", ("judge",), "limit: 1 -> 2", recipe=Toys(judge=Judge(limit=2))),
    Edit("a_constant_of_their_module", ("collect", "count", "learn", "judge"), "`MARK`", source=('MARK = "."', 'MARK = "!"')),
    Edit("a_helper", ("learn", "judge"), "`weights`", source=("[counts, rate]) + MARK", "[rate, counts]) + MARK")),
    Edit("a_comment", (), "", source=('MARK = "."', 'MARK = "."  # ends it')),
    Edit("a_file_that_is_read", ("collect",), "file words.txt was added", book="a book"),
    Edit("a_library", ("count",), "library pydantic: ", library="0.0.1"),
    Edit("a_refresh", ("learn",), "a refresh was requested", refresh=("learn",)),
    Edit("a_field_that_changes_no_byte", ("count",), "longest: 9 -> 8", recipe=Toys(count=Count(longest=8))),
    Edit("bytes_that_one_reader_ignores", ("collect", "count", "judge"), "words: ", recipe=Toys(collect=Collect(words="THE cat the dog"))),
)


def make(workshop: Workshop, edit: Edit) -> dict[str, Any]:
    """Apply an edit; return the arguments for a plan or run of it."""
    workshop.edit(*edit.source)
    if edit.book:
        (workshop.root / "words.txt").write_text(edit.book)
    if edit.library:
        known = installed()
        other = replace(known, versions={**known.versions, "pydantic": edit.library})
        workshop.patch.setattr(trace, "installed", lambda cache=None: other)
    return {"recipe": edit.recipe, "refresh": frozenset(edit.refresh)}


def by_position(decisions: list[Decision]) -> dict[str, Decision]:
    """Return decisions by position."""
    return {decision.position: decision for decision in decisions}


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_a_run_executes_what_the_plan_named_for_the_causes_it_gave_and_then_nothing(worked: Workshop, edit: Edit) -> None:
    asked = make(worked, edit)
    planned = by_position(worked.plan(**asked))
    assert worked.executed == []
    run = worked.run(**asked)
    executed = worked.executed
    assert executed == list(edit.executes)
    done = by_position(run.decisions)
    for body, position in zip(BODIES, POSITIONS, strict=True):
        if planned[position].action == "run":
            assert body in executed
        if planned[position].action == "reuse":
            assert body not in executed
            assert planned[position].key == run.artifacts[position].key
        waits = [cause for cause in planned[position].causes if cause.startswith("waits on")]
        assert set(planned[position].causes) - set(waits) <= set(done[position].causes)
        if body in executed and not waits:
            assert (planned[position].key, planned[position].causes) == (done[position].key, done[position].causes)
    if executed:
        first = POSITIONS[BODIES.index(executed[0])]
        assert any(edit.cause in cause for cause in planned[first].causes)
    assert {decision.action for decision in worked.plan(edit.recipe)} == {"reuse"}


def test_before_the_first_run_everything_has_never_run_and_later_stages_say_what_they_wait_on(workshop: Workshop) -> None:
    planned = by_position(workshop.plan())
    assert planned["collect"].causes == ("it has never run",)
    assert planned["judge.small"].causes == ("it has never run", "waits on learn, collect")
    assert {decision.action for decision in planned.values()} == {"run"}
    assert not (workshop.folder / "store").exists()


def test_an_input_whose_bytes_moved_is_named_with_both_digests(worked: Workshop) -> None:
    before = worked.made()["learn"].digest
    after = worked.run(Toys(learn=Learn(rate=0.25)))
    assert by_position(after.decisions)["judge.small"].causes == (f"input model: {before[:8]} -> {after.artifacts['learn'].digest[:8]}",)


def test_a_stage_below_one_that_runs_may_run_and_is_reused_when_older_bytes_come_back(worked: Workshop) -> None:
    worked.run(Toys(learn=Learn(rate=0.25)))
    assert worked.executed == ["learn", "judge"]
    back = Toys(count=Count(longest=8), learn=Learn(rate=0.5))
    planned = by_position(worked.plan(back))
    assert planned["learn"].action == "wait"
    assert planned["learn"].causes == ("rate: 0.25 -> 0.5", "waits on count")
    worked.run(back)
    assert worked.executed == ["count"]


def test_a_refresh_below_a_stage_that_runs_is_certain(worked: Workshop) -> None:
    planned = by_position(worked.plan(Toys(count=Count(longest=8)), refresh=frozenset({"learn"})))
    assert planned["learn"].action == "run"
    assert planned["learn"].causes == ("a refresh was requested", "waits on count")


def test_an_artifact_that_was_deleted_is_made_again_because_it_is_gone(worked: Workshop) -> None:
    learned = worked.made()["learn"]
    shutil.rmtree(worked.folder_of(learned))
    assert by_position(worked.plan())["learn"].causes == (f"its artifact {learned.location} is gone",)
    other = Toys(learn=Learn(rate=0.25))
    causes = by_position(worked.plan(other))["learn"].causes
    assert causes == (f"its artifact {learned.location} is gone, and so is the record of its inputs",)
    worked.run(other)
    assert by_position(worked.plan())["learn"].causes == ("rate: 0.25 -> 0.5",)


def test_a_setting_that_came_went_or_is_empty_is_called_so() -> None:
    before, after = {"config.a": "1", "config.b": "[]"}, {"config.b": '["x"]', "config.c": "{}"}
    assert compare(before, after) == ("a: 1 -> not set", 'b: empty -> ["x"]', "c: not set -> empty")
