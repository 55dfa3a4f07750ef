"""A change can be accepted instead of running a costly stage again: on record, and never for changed input."""

from __future__ import annotations

import shutil

import pytest
from mlflow.tracking import MlflowClient

from tasks.stage.execution.accept import NotAcceptable, accept
from tasks.stage.execution.plan import Decision
from tasks.stage.store.acceptance import acceptances
from tasks.stage.store.journal import Journal
from tasks.stage.store.store import Store
from tests.tasks.toys import Collect, Learn, Toys, Workshop

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
    assert acceptance.causes == ("code tasks/toys.py weights changed",)
    decision = planned(worked, "learn")
    assert (decision.action, decision.artifact and decision.artifact.key) == ("reuse", before.key)
    assert decision.causes == (f"accepted by {acceptance.who}: {REASON}", "code tasks/toys.py weights changed")
    run = worked.run()
    assert worked.executed == []
    assert run.artifacts["learn"].key == before.key
    record = Journal(kept(worked)).latest("toys")
    assert record is not None
    assert record.positions["learn"].accepted == REASON
    assert [a.instead for a in acceptances(kept(worked))] == [before.key]


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
    client = MlflowClient(tracking_uri=database)
    experiment = client.get_run(run.record.mlflow_run_id).info.experiment_id
    (child,) = client.search_runs([experiment], "attributes.run_name = 'learn (reused)'")
    assert child.data.tags["folio.accepted"] == REASON


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
        ("gone", "learn: there is nothing to accept, since its artifact learn/toys-.* is gone, and so is"),
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
