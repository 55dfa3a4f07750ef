"""A person is asked once about a verdict, by name and with a reason, and a changed verdict is asked about again."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.evaluation.gate import Bound, GateConfig
from tasks.lineage.graph import ProvenanceGraph
from tasks.lineage.tree import render_tree
from tasks.stage.execution.approving import ASKS, AwaitsApproval, approval_of, record_answer
from tasks.stage.execution.run import current_run
from tasks.stage.identity.key import stable
from tasks.stage.store.journal import Journal, RunRecord
from tasks.stage.store.store import Store
from tasks.stage.store.verdicts import APPROVED, Answer, Question
from tests.tasks.toy_bodies import Judge
from tests.tasks.toys import Toys, Workshop


class Asking(Workshop):
    """The toy pipeline; a person approves what `judge.small` made."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        super().__init__(folder, patch)
        self.asked: list[Question] = []
        self.answer = Answer(True, "Ada", "reads well")

    def ask(self, question: Question) -> Answer:
        """Answer as a person would."""
        self.asked.append(question)
        return self.answer

    def _compose(self, recipe: Toys) -> None:
        super()._compose(recipe)
        decided = current_run().decisions[-1]
        verdict = current_run().artifacts.get(decided.position, decided.artifact)
        self.found = approval_of(current_run(), verdict, "a table") if verdict else None

    def records(self) -> list[RunRecord]:
        """What the journal says, newest run first."""
        return Journal(Store(self.store, self.home / "cache")).records()


@pytest.fixture
def asking(tmp_path: Path, prefect: None, monkeypatch: pytest.MonkeyPatch) -> Asking:
    return Asking(tmp_path, monkeypatch)


def test_an_answer_is_recorded_and_found_again_until_the_verdict_changes(asking: Asking) -> None:
    asking.run(approver=asking.ask)
    assert [(one.recipe, one.position, one.shown) for one in asking.asked] == [("toys", "judge.small", "a table")]
    assert asking.records()[0].positions["judge.small"].answer == "approved by Ada: reads well"
    graph = ProvenanceGraph.load(Store(asking.store, asking.home / "cache"))
    (line,) = (line for line in render_tree(graph, graph.newest_first) if "judge/toys" in line and "(above)" not in line)
    assert line.endswith("(approved by Ada: reads well)")
    again = asking.run(approver=asking.ask)
    assert len(asking.asked) == 1 and "judge.small" in again.reused
    assert asking.records()[0].positions["judge.small"].answer == "approved by Ada: reads well"
    asking.run(Toys(judge=Judge(limit=2)), approver=asking.ask)
    assert len(asking.asked) == 2 and asking.asked[0].subject != asking.asked[1].subject


def test_without_anybody_to_ask_the_run_ends_as_stopped_with_the_way_on_and_a_plan_says_so(asking: Asking) -> None:
    with pytest.raises(AwaitsApproval, match=r"judge\.small of toys passed and awaits approval.*folio approve judge\.small toys"):
        asking.run()
    (record,) = asking.records()
    assert record.status == "stopped" and "awaits approval" in record.error
    assert asking.plan()[-1].causes == (ASKS,)
    verdict = asking.plan()[-1].artifact
    assert verdict is not None
    record_answer(Store(asking.store, asking.home / "cache"), "toys", "judge.small", verdict, approved=True, who="Bo", reason="it is fine")
    assert asking.plan()[-1].causes == ()
    asking.run()
    assert asking.records()[0].status == "finished"


def test_the_newest_answer_counts_and_a_damaged_one_is_none(asking: Asking) -> None:
    asking.answer = Answer(False, "Ada", "it rhymes badly")
    asking.run(approver=asking.ask)
    assert asking.found is not None and not asking.found.approved
    verdict = asking.plan()[-1].artifact
    assert verdict is not None
    record_answer(Store(asking.store, asking.home / "cache"), "toys", "judge.small", verdict, approved=True, who="Bo", reason="it may")
    asking.run(approver=asking.ask)
    assert asking.found.words == "approved by Bo: it may" and len(asking.asked) == 1
    for path in (Path(asking.store) / APPROVED).iterdir():
        path.write_text(path.read_text().replace("Ada", "Eve").replace("Bo", "Eve"))
    asking.run(approver=asking.ask)
    assert len(asking.asked) == 2


@pytest.mark.parametrize(("who", "reason"), [("", "fine"), ("Ada", " ")])
def test_an_answer_needs_a_name_and_a_reason(asking: Asking, who: str, reason: str) -> None:
    asking.answer = Answer(True, who, reason)
    with pytest.raises(ValueError, match="an answer needs a name and a reason"):
        asking.run(approver=asking.ask)


def test_whether_a_person_is_asked_is_part_of_no_key() -> None:
    bounds = (Bound(metric="loss", maximum=1),)
    assert stable(GateConfig(bounds=bounds, approve=True), "gate") == stable(GateConfig(bounds=bounds), "gate")
