"""A change can be accepted instead of running a costly stage again: on record, and never for changed input."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from flows.cli.planning import TimeEstimate, plan_table
from tasks.forecast.rates import Load
from tasks.stage.execution.approving import NotAcceptable, accept
from tasks.stage.execution.plan import Decision
from tasks.stage.store.journal import Journal
from tasks.stage.store.store import Store
from tasks.stage.store.verdicts import acceptances
from tests.tasks.exported import children_of
from tests.tasks.toy_bodies import Collect, Learn
from tests.tasks.toys import Toys, Workshop

FASTER = ("json.dumps([counts, rate])", "json.dumps([counts, 1 * rate])")
REASON = "only the order of arithmetic"


def planned(workshop: Workshop, position: str, recipe: Toys | None = None) -> Decision:
    return next(decision for decision in workshop.plan(recipe) if decision.position == position)


def kept(workshop: Workshop) -> Store:
    return Store(workshop.store, workshop.home / "cache")


def test_an_accepted_change_is_reused_and_everything_after_it_stays(worked: Workshop) -> None:
    before = worked.made()["learn"]
    worked.edit(*FASTER)
    acceptance = accept(kept(worked), "toys", planned(worked, "learn"), REASON)
    assert acceptance.causes == ("ran `weights` in toystages.py, which changed",)
    (change,) = acceptance.changes.values()
    assert len({change.old, change.new, ""}) == 3
    decision = planned(worked, "learn")
    assert (decision.action, decision.artifact and decision.artifact.address) == ("reuse", before.address)
    assert decision.causes == (f"accepted by {acceptance.who}: {REASON}", "ran `weights` in toystages.py, which changed")
    run = worked.run()
    assert worked.executed == []
    assert run.artifacts["learn"].address == before.address
    record = Journal(kept(worked)).latest("toys")
    assert record is not None
    assert record.positions["learn"].accepted == REASON
    assert [(a.instead, a.key) for a in acceptances(kept(worked))] == [(before.address, before.key)]


def test_an_acceptance_covers_exactly_the_change_that_it_was_given_for(worked: Workshop) -> None:
    worked.edit(*FASTER)
    accept(kept(worked), "toys", planned(worked, "learn"), REASON)
    worked.edit('{"loss": 1.0', '{"loss": 2.0')
    decision = planned(worked, "learn")
    assert decision.action == "run"
    assert len(decision.causes) == 2
    worked.edit('{"loss": 2.0', '{"loss": 1.0')
    assert planned(worked, "learn").reason == REASON
    worked.edit("[counts, 1 * rate]", "[counts, 2 * rate]")
    assert planned(worked, "learn").action == "run"


def test_a_plan_says_what_an_acceptance_would_reuse_and_that_is_never_offered_for_settings(worked: Workshop) -> None:
    before = worked.made()["learn"]
    assert planned(worked, "learn", Toys(learn=Learn(rate=0.25))).acceptable is None
    worked.edit(*FASTER)
    decision = planned(worked, "learn")
    assert decision.row()["acceptable"] == before.location
    assert f"learn: `folio accept` would keep {before.location}" in plan_table([decision], "", TimeEstimate.of([], 1, Load(0.0, 0.0, 1)))


def test_a_damaged_acceptance_is_ignored_with_a_line_that_names_it(worked: Workshop, caplog: pytest.LogCaptureFixture) -> None:
    worked.edit(*FASTER)
    path = Path(worked.store) / accept(kept(worked), "toys", planned(worked, "learn"), REASON).file
    path.write_bytes(path.read_bytes().replace(b'"who"', b'"whO"'))
    with caplog.at_level(logging.INFO, "folio"):
        assert planned(worked, "learn").action == "run"
    assert f"the acceptance .accepted/{path.name} can't be read" in caplog.text


def test_a_later_change_is_compared_with_what_stood_in_and_runs(worked: Workshop) -> None:
    worked.edit(*FASTER)
    accept(kept(worked), "toys", planned(worked, "learn"), REASON)
    worked.run()
    decision = planned(worked, "learn", Toys(learn=Learn(rate=0.25)))
    assert decision.action == "run"
    assert "rate: 0.5 -> 0.25" in decision.causes


def test_an_acceptance_shows_in_mlflow(worked: Workshop, database: str) -> None:
    worked.tracking = database
    worked.edit(*FASTER)
    accept(kept(worked), "toys", planned(worked, "learn"), REASON)
    run = worked.run()
    assert children_of(database, run)["learn (reused)"].data.tags["folio.accepted"] == REASON


def test_an_acceptance_whose_artifact_is_gone_counts_for_nothing(worked: Workshop) -> None:
    before = worked.made()["learn"]
    worked.edit(*FASTER)
    accept(kept(worked), "toys", planned(worked, "learn"), REASON)
    shutil.rmtree(worked.folder_of(before))
    assert planned(worked, "learn").action == "run"
    worked.run()
    assert worked.executed == ["learn"]


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("nothing changed", "learn: there is nothing to accept, since it is reused as it is"),
        ("no reason", "learn: an acceptance needs a reason"),
        ("other input", r"collect: observed.words.txt changed: its input differs"),
        ("waits", "learn: there is nothing to accept, since waits on count"),
        ("gone", "learn: there is nothing to accept, since its artifact learn/toys-.* is gone"),
    ],
)
def test_what_nobody_can_vouch_for_is_refused(worked: Workshop, harm: str, words: str) -> None:
    position, recipe = "learn", None
    if harm in ("no reason", "gone"):
        learned = worked.made()["learn"]
        worked.edit(*FASTER)
        if harm == "gone":
            shutil.rmtree(worked.folder_of(learned))
    if harm == "other input":
        position = "collect"
        (worked.root / "words.txt").write_text("a book")
    if harm == "waits":
        recipe = Toys(collect=Collect(words="other words"))
    with pytest.raises(NotAcceptable, match=words):
        accept(kept(worked), "toys", planned(worked, position, recipe), "" if harm == "no reason" else REASON)
    assert list(acceptances(kept(worked))) == []
