"""Judging on the page: models stay hidden, each press is one line of the journal, and what people and models write stays text."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from starlette.testclient import TestClient

from data.judgements.journal import AnyLine, read_journal
from flows.services.home import JUDGEMENTS
from tasks.stage.store.store import Store
from tests.flows.page.visiting import Seen, seen, send, visitor
from tests.tasks.lineage.corpus_store import Corpus

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{7*7}}"
QUESTIONS = 30


def answered(corpus: Corpus, questions: int = QUESTIONS) -> list[str]:
    """Record answers of two models, which are `small N` and `large N`; to question 7 both say the same. Return the measurements' names."""
    for name in ("small", "large"):
        model = corpus.commit(f"tune.{name}", {"model.bin": name}, {"model": corpus.made["pretrain"].reference()})
        rows = [
            {
                "question": f"Question {number}? {HOSTILE}",
                "reply": "the same" if number == 7 else f"{name} {number} {HOSTILE}",
                "right": True,
            }
            for number in range(questions)
        ]
        corpus.commit(f"evaluate.{name}", {"answers_seen.jsonl": rows}, {"model": model.reference()})
    return [corpus.made[f"evaluate.{name}"].location.partition("/")[2] for name in ("small", "large")]


@pytest.fixture
def models(corpus: Corpus) -> list[str]:
    """Two measurements with recorded answers."""
    return answered(corpus)


@pytest.fixture
def browser(store: Store, home: Path, models: list[str]) -> TestClient:
    """A browser of the page."""
    return visitor(store, home)


def begun(browser: TestClient, first: str, second: str = "", judge: str = "ada") -> str:
    """The address of the first question of a session."""
    fields = {"judge": judge, "first": first, "second": second, "set": "seen"}
    status, _, onward = send(browser, "/judging/begin", fields)
    assert status == 303
    return onward


def fields_of(page: Seen) -> dict[str, str]:
    """What the form of a question sends besides what is pressed."""
    return {found["name"]: found.get("value", "") for tag, found in page.tags if tag in ("input", "textarea") and "name" in found}


def press(browser: TestClient, address: str, verdict: str, **written: str) -> str:
    """Press a button of the question at an address; return where that leads."""
    status, page, onward = send(browser, "/judging/judge", {**fields_of(seen(browser, address)), **written, "verdict": verdict})
    assert status == 303, page.text
    return onward.partition("#")[0]


def lines(home: Path) -> list[AnyLine]:
    """The journal of a home, which must be whole."""
    found = read_journal(home / JUDGEMENTS)
    assert not found.set_aside
    return [entry.line for entry in found.entries]


def test_two_models_are_judged_to_the_end_without_their_names_beside_answers(browser: TestClient, home: Path, models: list[str]) -> None:
    address, first_shown = begun(browser, *models), []
    assert "judging" in Seen(browser.get("/judging").text).text.lower()
    for _ in range(QUESTIONS - 1):
        page = seen(browser, address)
        shown = re.findall(r"(small|large) (\d+) <script>", page.text)
        assert len(shown) == 2 and shown[0][1] == shown[1][1] != "7"
        bare = re.sub(r"(small|large) \d+ <script>", "", page.text)
        assert "small" not in bare and "large" not in bare
        first_shown.append(shown[0][0])
        address = press(browser, address, "AB"[[name for name, _ in shown].index("small")])
    assert "Nothing is left" in seen(browser, address).text
    kept = lines(home)
    assert len(kept) == QUESTIONS - 1 and 4 < first_shown.count("small") < QUESTIONS - 5  # the order is drawn for each
    for line in kept:
        assert line.kind == "preference" and line.seed == int(dict(parse_qsl(urlsplit(address).query))["seed"])
        assert line.answers["AB".index(line.preferred)].text.startswith("small")
        assert all(re.fullmatch("[0-9a-f]{64}", answer.digest) for answer in line.answers)
    standing = seen(browser, "/judging")
    assert "29 preference pairs" in standing.text and standing.text.index("small") > 0


def test_the_same_seed_shows_the_same_order_and_another_one_another(browser: TestClient, models: list[str]) -> None:
    address = begun(browser, *models)
    assert seen(browser, address).text == seen(browser, address).text
    other = re.sub(r"seed=\d+", "seed=424242", address)
    assert {seen(browser, f"{other}&at={number}").text for number in range(3)} != {
        seen(browser, f"{address}&at={number}").text for number in range(3)
    }


def test_good_bad_an_ideal_answer_a_wrong_fact_and_a_reason_are_kept(browser: TestClient, home: Path, models: list[str]) -> None:
    address = begun(browser, models[0])
    shown = re.search(r"small (\d+)", seen(browser, address).text)
    assert shown
    wrong = shown.group()
    address = press(browser, address, "A:wrong", wrong_A=wrong, right_A="tiny 0")
    address = press(browser, address, "ideal", ideal=f"Ideal. {HOSTILE}", reason=HOSTILE)
    press(browser, address, "A:bad")
    correction, ideal, label = lines(home)
    assert correction.kind == "correction" and correction.corrected.startswith("tiny 0 <script>")
    assert ideal.kind == "ideal" and (ideal.ideal, ideal.reason) == (f"Ideal. {HOSTILE}", HOSTILE)
    assert label.kind == "label" and not label.good and label.answers[0].text.startswith(wrong)
    assert "2 conversations" in seen(browser, "/judging").text


def test_what_is_judged_is_not_asked_again_and_a_question_can_be_skipped(browser: TestClient, home: Path, models: list[str]) -> None:
    address = begun(browser, *models)
    first = seen(browser, address)
    skipped = seen(browser, press(browser, address, "skip"))
    assert skipped.text != first.text and not (home / JUDGEMENTS).exists()
    press(browser, address, "tie")
    assert "Question 2 of 29" in seen(browser, address).text
    assert "Question 1 of 29" in seen(browser, address.replace("judge=ada", "judge=bob")).text


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"verdict": "C"}, "none of the buttons"),
        ({"verdict": "B:good"}, "none of the buttons"),
        ({"verdict": "A:wrong", "wrong_A": "nowhere", "right_A": "x"}, "stand 0 times"),
        ({"verdict": "ideal", "ideal": " "}, "ideal is empty"),
        ({"verdict": "A:good", "judge": "a\nb"}, "can't be shown"),
        ({"verdict": "A:good", "at": "999"}, "no question 999"),
        ({"verdict": "A:good", "set": "../secrets"}, "is none of"),
        ({"verdict": "A:good", "first": "../../etc"}, ""),
    ],
)
def test_what_no_button_sends_is_refused_and_nothing_is_kept(
    browser: TestClient, home: Path, models: list[str], changed: dict[str, str], said: str
) -> None:
    fields = fields_of(seen(browser, begun(browser, models[0])))
    status, page, _ = send(browser, "/judging/judge", {**fields, **changed})
    assert status in (400, 404) and said in page.text
    assert not (home / JUDGEMENTS).exists()


def test_another_site_can_judge_nothing(browser: TestClient, home: Path, models: list[str]) -> None:
    fields = {**fields_of(seen(browser, begun(browser, models[0]))), "verdict": "A:good"}
    assert send(browser, "/judging/judge", fields, origin="https://evil.example")[0] == 403
    assert not (home / JUDGEMENTS).exists()


def test_every_button_of_a_verdict_has_a_key_of_its_own_and_the_script_is_the_pages_own(browser: TestClient, models: list[str]) -> None:
    page = seen(browser, begun(browser, *models))
    keys = [found["data-key"] for _, found in page.tags if "data-key" in found]
    assert len(set(keys)) == len(keys) and set("abts1234irwv") == set(keys)
    assert browser.get("/judging/keys.js").headers["content-type"].startswith("text/javascript")
    # Enter in a field presses the first button of a form, which must decide nothing.
    assert next(found["value"] for tag, found in page.tags if tag == "button") == "skip"


def test_without_recorded_answers_the_page_says_what_records_them(store: Store, home: Path) -> None:
    assert "evaluate.chat.questions" in seen(visitor(store, home), "/judging").text
