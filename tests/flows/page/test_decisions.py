"""Plans in the words of `folio plan`, and answers of people about gates, which are what `folio approve` records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.stage.store.artifact import Artifact
from tasks.stage.store.store import Store
from tasks.stage.store.verdicts import approvals, find_approval
from tests.flows.cli.command import folio
from tests.flows.page.visiting import Seen, seen, send, visitor
from tests.tasks.records import committed, ran
from tests.tasks.reporting.example_run import HOSTILE

ROW = {"metric": "release.test.bits_per_byte", "value": "1.2", "bound": "<= 1.3", "margin": "+0.1", "verdict": "passed"}


def judged(
    store: Store, number: int = 1, *, passed: float = 1.0, approve: bool = True, recipe: str = "toys", value: str = "1.2"
) -> Artifact:
    """A run that stopped at a gate, and its verdict."""
    verdict = {"verdict.json": json.dumps({"rows": [{**ROW, "value": value}], "overruled": ""}).encode()}
    made = committed(store, verdict, stage="gate", label=f"{recipe}-release", name=f"{number}", metrics={"passed": passed})
    position = {"stage": "gate", "key": made.key, "address": made.address, "digest": made.digest, "location": made.location}
    configuration = {"gates": {"release": {"approve": approve}}}
    places = {"gate.release": {**position, "action": "executed"}}
    ran(store, number, recipe=recipe, status="stopped", configuration=configuration, places=places)
    return made


def fields(page: Seen, **answer: str) -> dict[str, str]:
    hidden = {attributes["name"]: attributes["value"] for tag, attributes in page.tags if attributes.get("type") == "hidden"}
    return {**hidden, "approved": "yes", "who": "Ada", "reason": "the answers are good", **answer}


def test_a_gate_that_waits_is_shown_with_its_bounds_and_an_answer_is_recorded(store: Store, home: Path) -> None:
    verdict, browser = judged(store), visitor(store, home)
    page = seen(browser, "/decisions")
    assert "waits for an answer" in page.text and "release.test.bits_per_byte 1.2 <= 1.3" in page.text
    assert send(browser, "/decisions", fields(page))[::2] == (303, "/decisions")
    found = find_approval(store, verdict)
    assert found is not None and (found.approved, found.who, found.reason) == (True, "Ada", "the answers are good")
    assert (found.recipe, found.position, found.location) == ("toys", "gate.release", verdict.location)
    answered = seen(browser, "/decisions")
    assert "approved by Ada" in answered.text and "run toys" in answered.text
    send(browser, "/decisions", fields(answered, approved="no", who="Bo", reason="it is rude"))
    assert "refused by Bo" in seen(browser, "/decisions").text and len(approvals(store)) == 2


@pytest.mark.parametrize("wrong", [{"reason": "  "}, {"who": ""}, {"approved": "maybe"}, {"reason": "x" * 2001}, {"approved": ""}])
def test_an_answer_without_name_reason_or_verdict_is_refused(store: Store, home: Path, wrong: dict[str, str]) -> None:
    judged(store)
    browser = visitor(store, home)
    status, page, _ = send(browser, "/decisions", fields(seen(browser, "/decisions"), **wrong))
    assert status == 400 and next(iter(wrong)) in page.text
    assert not approvals(store)


def test_what_was_shown_is_what_is_answered(store: Store, home: Path) -> None:
    judged(store)
    browser = visitor(store, home)
    page = seen(browser, "/decisions")
    judged(store, 2, value="1.25")
    assert send(browser, "/decisions", fields(page))[0] == 404
    assert send(browser, "/decisions", fields(page), origin="https://evil.example")[0] == 403
    assert not approvals(store)


@pytest.mark.parametrize("kind", [{"passed": 0.0}, {"approve": False}])
def test_a_gate_that_failed_or_asks_nobody_cannot_be_approved(store: Store, home: Path, kind: dict[str, Any]) -> None:
    judged(store, **kind)
    assert "No gate waits for a person" in seen(visitor(store, home), "/decisions").text


def test_a_verdict_that_was_edited_is_not_shown_as_one(store: Store, home: Path) -> None:
    verdict = judged(store)
    path = store.local(verdict) / "verdict.json"
    path.write_text(path.read_text().replace("1.2", "0.2"))
    page = seen(visitor(store, home), "/decisions")
    assert "does not match its record" in page.text and not any(tag == "form" for tag, _ in page.tags)


def test_names_and_reasons_stay_text(store: Store, home: Path) -> None:
    judged(store, recipe=HOSTILE.replace("/", "_"), value=HOSTILE)
    browser = visitor(store, home)
    page = seen(browser, "/decisions")
    send(browser, "/decisions", fields(page, who=HOSTILE, reason=HOSTILE))
    answered = seen(browser, "/decisions")
    assert answered.text.count("alert(1)") >= 3 and seen(browser, "/plan")


def test_a_plan_is_told_in_the_words_of_the_command(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLIO_HOME", str(home))
    browser = visitor(Store(str(home / "store"), home / "cache"), home)
    offered = [link for link in ("four_books", "universe") if link in seen(browser, "/plan").text]
    assert offered == ["four_books", "universe"]
    status, page, _ = send(browser, "/plan", {"recipe": "four_books"})
    told = folio(home, "plan", "four_books").stdout
    assert status == 200
    for line in told.splitlines()[:20]:
        assert " ".join(line.split()) in page.text
    wrong = "pretrain.train.no_such_key=1"
    status, page, _ = send(browser, "/plan", {"recipe": "four_books", "changes": f"{wrong}\r\n\r\n--help=1\r\n"})
    said = folio(home, "plan", "four_books", f"--set={wrong}", "--set=--help=1")
    assert status == 200 and said.returncode and wrong in page.text
    for line in said.stderr.splitlines():
        assert " ".join(line.split()) in page.text, "an error is said as the command line says it"
    assert send(browser, "/plan", {"recipe": "four_books", "changes": "a=1\n" * 41})[0] == 400


@pytest.mark.parametrize("recipe", ["--help", "/etc/passwd", "none", "four_books; id", ""])
def test_no_words_of_a_visitor_reach_a_command(store: Store, home: Path, recipe: str) -> None:
    ran(store, 1, argument="--debug")
    assert send(visitor(store, home), "/plan", {"recipe": recipe})[0] in (400, 404)
