"""What a store knows of a release after its export, and the card that tells it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model.release.card import ModelCard, write_facts
from tasks.reporting.card import CardError, account_of, card_of
from tasks.stage.execution.approving import record_answer
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.journal import Journal, PositionRecord, RegisteredModel, RunRecord
from tasks.stage.store.origin import now
from tasks.stage.store.store import Store, StoreError
from tests.tasks.records import artifact, commit, written

FACTS: dict[str, Any] = {
    "parameters": 1000, "vocabulary": 300, "context": 64, "dtype": "float32", "variants": [], "full": {}, "plot": "",
    "hub_class": "LlamaForCausalLM", "refusal": "", "supports": frozenset({"causal", "generation"}), "adapters": [],
}  # fmt: skip
CARD = ModelCard(name="tiny", summary="A test.", recipe="toys", intended_use=("Tests.",), limits=("It knows nothing.",))
FAILED = {"metric": "release.loss", "value": "2", "bound": "<= 1", "margin": "-1", "verdict": "FAILED: out of bounds"}


class Released:
    """A store in which one run released a model: an evaluation, two gates and prices."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store, self.positions = folder, Store(str(folder / "store"), folder / "cache"), dict[str, PositionRecord]()

    def commit(self, position: str, files: dict[str, bytes], accepted: str = "", **record: Any) -> Artifact:
        """Commit an artifact at a position."""
        output = self.store.scratch(position) / "output"
        written(output, files)
        stage = position.partition(".")[0]
        made = commit(self.store, output, artifact(output, stage=stage, name=position, **record))
        self.positions[position] = PositionRecord(
            stage=stage, key=made.key, digest=made.digest, location=made.location, action="reused", accepted=accepted
        )
        return made

    def run(self, exported: Artifact) -> RunRecord:
        """Record the run that released an export."""
        registered = RegisteredModel(
            name="folio-toys", alias="champion", reason="promoted by a person: its licence is free", location=exported.location,
            digest=exported.digest,
        )  # fmt: skip
        record = RunRecord(
            id="20261125T130000-000000", recipe="toys", status="finished", started=now(), host="h", pid=1, git_commit="abc",
            git_dirty=False, configuration={"rates": {"currency": "EUR", "cpu_hour": 3.6}}, positions=self.positions,
            registered=(registered,),
        )  # fmt: skip
        Journal(self.store).write(record)
        return record


@pytest.fixture
def released(tmp_path: Path) -> Released:
    return Released(tmp_path)


def exported(released: Released) -> Artifact:
    facts = released.folder / "facts"
    facts.mkdir()
    write_facts(CARD, FACTS, facts)
    return released.commit("export", {"card.json": (facts / "card.json").read_bytes(), "README.md": b"before"})


def test_the_whole_card_tells_measurements_gates_decisions_and_costs(released: Released) -> None:
    released.commit("clean", {"a": b"a"}, accepted="a comment only", seconds=3600.0)
    made = exported(released)
    measured = {"test.bits_per_byte": 1.5, "test.bits_per_byte_low": 1.4, "test.bits_per_byte_high": 1.6}
    released.commit("evaluate.base", {"b": b"b"}, metrics={"test.bits_per_byte": 2.5})
    released.commit("evaluate.release", {"c": b"c"}, metrics=measured)
    released.commit("baseline", {"d": b"d"}, metrics={"ngram.test.bits_per_byte": 3.5})
    verdict = {"rows": [FAILED], "overruled": "we know this corpus"}
    gate = released.commit("gate.release", {"verdict.json": json.dumps(verdict).encode()})
    record_answer(released.store, "toys", "gate.release", gate, approved=True, who="Ada", reason="it reads well")
    released.run(made)
    text = card_of(released.store, made).replace("\\", "")
    for shown in (
        "| metric | release | base |", "| test.bits_per_byte | 1.5 (1.4 to 1.6) | 2.5 |", "| ngram.test.bits_per_byte | 3.5 |",
        "### gate.release", "| release.loss | 2 | <= 1 | -1 | FAILED: out of bounds |", "Overruled: we know this corpus",
        "| gate.release | approved by Ada: it reads well |", "| clean | a change was accepted as altering nothing: a comment only |",
        "| folio-toys | champion, promoted by a person: its licence is free |", "| clean | 1 | 2 | 0 | 7.2 |", "EUR",
    ):  # fmt: skip
        assert shown in text, shown
    assert "\n\n\n" not in text and "folio card" not in text


def test_a_store_without_a_run_of_the_release_and_an_export_without_facts_say_so(released: Released) -> None:
    made = exported(released)
    with pytest.raises(CardError, match="records no run of"):
        card_of(released.store, made)
    bare = released.commit("export", {"README.md": b"old"}, label="other")
    released.run(bare)
    with pytest.raises(CardError, match=r"has no card\.json"):
        card_of(released.store, bare)


def test_facts_that_are_not_what_the_record_says_make_no_card(released: Released) -> None:
    made = exported(released)
    released.run(made)
    (released.store.local(made) / "card.json").write_text('{"card": {}}')
    with pytest.raises(StoreError, match=r"card\.json .* does not match its record"):
        card_of(released.store, made)


def test_a_form_released_outside_its_bounds_is_a_decision(released: Released) -> None:
    made = exported(released)
    verdict = {"rows": [], "passed": False, "overruled": "small machines need it"}
    released.commit("measure.q4", {"verdict.json": json.dumps(verdict).encode()})
    decisions = account_of(released.store, released.run(made)).decisions
    assert ("measure.q4", "released although it is outside its bounds: small machines need it") in decisions
