"""Talking to released models: replies are streamed and judged, models stay hidden until the end, and processes keep within limits."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from starlette.testclient import TestClient

from data.judgements.config import journal_files
from data.judgements.journal import Label, Preference, append, file_of
from flows.page.app import PageGuard, make_app
from flows.page.model_processes import ModelProcesses, ModelUnavailable
from flows.recipe.initialize import write_recipe
from flows.services.home import JUDGEMENTS
from tasks.stage.store.store import Store
from tests.data.dedup.books import prose
from tests.data.judgements.judging import judged as judged_by_hand
from tests.flows.page.browsing import faults, fits, launched, needs_chromium, serving, tab
from tests.flows.page.released_models import model_files, talkative
from tests.flows.page.test_judging import HOSTILE, fields_of, lines
from tests.flows.page.visiting import ADDRESS, Seen, seen, send
from tests.flows.test_corpus import make, planned
from tests.flows.test_judgements import READ, recipe_of

SETTINGS = {"temperature": "0", "longest": "20"}
QUESTION = f"Who are you? {HOSTILE}"


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, list[str]]:
    """A store with two released models and one whose gate failed; their names."""
    place = tmp_path_factory.mktemp("released")
    store = Store(str(place / "store"), place / "cache")
    made = [talkative(store, place, number, name, passed=name != "bad") for number, name in ((1, "small"), (2, "large"), (3, "bad"))]
    return store, [one.location.partition("/")[2] for one in made]


@pytest.fixture
def page(released: tuple[Store, list[str]], home: Path) -> Iterator[PageGuard]:
    """The page of that store, whose processes end with the test."""
    made = make_app(released[0].url, home)
    yield made
    made.close()


@pytest.fixture
def browser(page: PageGuard) -> TestClient:
    """A browser of the page."""
    return TestClient(page, base_url=ADDRESS, follow_redirects=False)


def begun(browser: TestClient, *names: str, **more: str) -> str:
    """The address of a conversation that was begun now."""
    fields = {"judge": "ada", "first": names[0], "second": names[1] if len(names) > 1 else "", **SETTINGS, **more}
    status, said, onward = send(browser, "/talk/begin", fields)
    assert status == 303, said.text
    return onward


def asked(browser: TestClient, address: str, question: str = QUESTION) -> list[dict[str, Any]]:
    """What the page says while a question is answered."""
    answer = browser.post(f"{address}/ask", data={"question": question}, headers={"Origin": ADDRESS})
    assert answer.status_code == 200, Seen(answer.text).text
    return [json.loads(line) for line in answer.text.splitlines()]


def judged(browser: TestClient, address: str, verdict: str, **written: str) -> None:
    """Press a button of the newest answers."""
    at = fields_of(seen(browser, address))["at"]
    status, said, _ = send(browser, f"{address}/judge", {"at": at, "verdict": verdict, **written})
    assert status == 303, said.text


def test_two_models_are_asked_the_same_judged_blindly_and_named_at_the_end(
    browser: TestClient, released: tuple[Store, list[str]], home: Path
) -> None:
    small, large, _ = released[1]
    address = begun(browser, small, large)
    told = asked(browser, address)
    texts = ["".join(part["text"] for part in told if part.get("of") == place and "text" in part) for place in (0, 1)]
    assert told[-1] == {"turn": 1} and all(texts) and sum("text" in part for part in told) > 4
    for hidden in (json.dumps(told), seen(browser, address).text):
        assert not re.search("small|large", hidden)
    judged(browser, address, "B", reason=HOSTILE)
    judged(browser, address, "A:bad")
    asked(browser, address, "And then?")
    judged(browser, address, "tie")
    preferred, label, tie = lines(home)
    assert isinstance(preferred, Preference) and isinstance(tie, Preference)
    assert [answer.text for answer in preferred.answers] == texts and (preferred.preferred, preferred.reason) == ("B", HOSTILE)
    assert preferred.prompt[0].content == QUESTION and label.kind == "label" and label.answers == preferred.answers[:1]
    assert sorted(answer.model.rpartition("-")[0] for answer in preferred.answers) == ["large-made", "small-made"]
    # Both were asked the same, which is what went before with the better answer.
    assert [message.content for message in tie.prompt] == [QUESTION, texts[1], "And then?"]
    send(browser, f"{address}/end", {})
    assert "small" in seen(browser, address).text and "large" in seen(browser, address).text
    assert browser.post(f"{address}/ask", data={"question": "More?"}, headers={"Origin": ADDRESS}).status_code == 400


def test_one_model_is_judged_by_good_bad_ideal_and_wrong_fact_and_its_own_answer_goes_on(
    browser: TestClient, released: tuple[Store, list[str]], home: Path
) -> None:
    address = begun(browser, released[1][0])
    text = "".join(part.get("text", "") for part in asked(browser, address))
    judged(browser, address, "A:good")
    judged(browser, address, "ideal", ideal=f"Ideal {HOSTILE}")
    wrong = next(text[at : at + 6] for at in range(len(text)) if text.count(text[at : at + 6]) == 1 and text[at : at + 6].strip())
    judged(browser, address, "A:wrong", wrong_A=wrong, right_A="right")
    asked(browser, address, "Why?")
    judged(browser, address, "A:bad")
    *before, last = lines(home)
    assert [line.kind for line in before] == ["label", "ideal", "correction"]
    assert isinstance(last, Label) and last.prompt[1].content == text
    assert "Kept: A bad" in seen(browser, address).text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"second": "SAME"}, "Both are the same model"),
        ({"first": "BAD"}, "did not pass its release gate"),
        ({"first": "../../etc"}, "may have been removed"),
        ({"temperature": "hot"}, "must be a number from 0 to 2"),
        ({"temperature": "nan"}, "must be a number from 0 to 2"),
        ({"longest": "0"}, "must be a number from 1 to 2048"),
        ({"judge": "a\nb"}, "can't be shown"),
        ({"judge": ""}, "judge is empty"),
    ],
)
def test_what_can_not_begin_is_refused_in_words(
    browser: TestClient, released: tuple[Store, list[str]], fields: dict[str, str], said: str
) -> None:
    names = {"SAME": released[1][0], "BAD": released[1][2]}
    whole = {"judge": "ada", "first": released[1][0], **SETTINGS, **{name: names.get(value, value) for name, value in fields.items()}}
    status, page, _ = send(browser, "/talk/begin", whole)
    assert status in (400, 404) and said in page.text


def test_a_conversation_that_is_gone_too_long_or_sent_by_another_site_is_refused(
    browser: TestClient, released: tuple[Store, list[str]], home: Path
) -> None:
    assert "has ended" in seen(browser, "/talk/nowhere", 404).text
    address = begun(browser, released[1][0])
    (said,) = [part["error"] for part in asked(browser, address, "long " * 400) if "error" in part]
    assert "256" in said  # the model's context
    assert "form was sent by" in send(browser, f"{address}/ask", {"question": "x"}, origin="https://evil.example")[1].text
    status, page, _ = send(browser, f"{address}/judge", {"at": "0", "verdict": "A:good"})
    assert status == 400 and "newest" in page.text and not journal_files(home / JUDGEMENTS)


def test_processes_stay_within_their_number_memory_and_idle_time_and_end_with_the_page(tmp_path: Path) -> None:
    folders = []
    for number in range(3):
        folder = tmp_path / f"model{number}"
        folder.mkdir()
        for name, content in model_files(tmp_path / f"made{number}", number).items():
            (folder / name).write_bytes(content)
        folders.append(folder)
    processes = ModelProcesses(most=2, idle_seconds=2)
    try:
        first, _ = processes.acquire(folders[0]), processes.acquire(folders[1])
        with pytest.raises(ModelUnavailable, match="2 models are writing"):
            processes.acquire(folders[2])
        processes.release(folders[0])
        assert processes.acquire(folders[2]).alive and not first.alive
        for folder in folders[1:]:
            processes.release(folder)
        assert sorted(processes.running()) == folders[1:]
        until = time.monotonic() + 20
        while processes.running() and time.monotonic() < until:
            time.sleep(0.1)
        assert not processes.running()
    finally:
        processes.close()
    with pytest.raises(ModelUnavailable, match=r"needs .* and 1.0 KB is free|needs .* is free"):
        ModelProcesses(free_memory=lambda: 1000).acquire(folders[0])


def test_a_models_process_ends_when_the_page_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name, content in model_files(tmp_path / "made", 1).items():
        (folder / name).write_bytes(content)
    held = (
        "import sys, pathlib; from flows.page.model_processes import ModelProcesses;"
        "print(ModelProcesses().acquire(pathlib.Path(sys.argv[1]))._process.pid, flush=True); sys.stdin.read()"
    )
    page = subprocess.Popen([sys.executable, "-c", held, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert page.stdout is not None
    child = psutil.Process(int(page.stdout.readline()))
    page.send_signal(signal.SIGKILL)
    page.wait()
    assert not psutil.wait_procs([child], timeout=20)[1]


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (390, "light")])
def test_people_talk_and_judge_by_keyboard_and_axe_finds_no_fault(
    released: tuple[Store, list[str]], home: Path, width: int, scheme: str
) -> None:
    store, (small, large, _) = released
    size = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme, "bypass_csp": True}
    with launched() as browser, serving(store, home) as address, tab(browser, address, **size) as opened:
        opened.goto(f"{address}/talk?first={small}")
        assert not faults(opened) and fits(opened)
        opened.get_by_label("Your name").fill("ada")
        opened.get_by_label("Longest reply").fill("20")
        opened.get_by_label("Second model").select_option(large)
        opened.keyboard.press("Enter")
        opened.locator("#question:focus").wait_for()
        opened.keyboard.type(QUESTION)
        opened.keyboard.press("Enter")
        opened.wait_for_url("**?turn=1#newest", timeout=60_000)
        assert not faults(opened) and fits(opened)
        assert opened.get_by_text("Who are you? <script>").count() == 1
        with opened.expect_navigation():
            opened.keyboard.press("a")
        opened.locator("#question:focus").wait_for()
        opened.keyboard.type("And then?")
        opened.keyboard.press("Enter")
        opened.wait_for_url("**?turn=2#newest", timeout=60_000)
        opened.keyboard.press("r")
        opened.keyboard.type("shorter")
        opened.keyboard.press("Escape")
        with opened.expect_navigation():
            opened.keyboard.press("b")
        opened.get_by_role("button", name="End, and show").click()
        opened.get_by_text("small-made").first.wait_for()
        assert not faults(opened) and fits(opened)
    first, second = lines(home)
    assert isinstance(first, Preference) and isinstance(second, Preference)
    assert (first.preferred, second.preferred, second.reason) == ("A", "B", "shorter")
    assert [path.name for path in journal_files(home / JUDGEMENTS)] == [file_of("ada")]


@pytest.mark.slow
@needs_chromium
def test_what_was_judged_in_the_browser_is_the_cause_that_the_next_plan_names_and_is_learned(
    released: tuple[Store, list[str]], prefect: None, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = tmp_path / "books"
    books.mkdir()
    for number in range(12):
        (books / f"{number:03}.txt").write_text(prose(number, paragraphs=4))
    monkeypatch.setenv("FOLIO_HOME", str(home))
    write_recipe(books)
    journal, recipe = home / JUDGEMENTS, recipe_of(books)
    for number in range(8):
        append(journal, judged_by_hand("preference", f"Who is {number}?", (f"It is {number}.", "Nobody."), judge="bob", preferred="A"))
    before = make(recipe)[READ].metrics["documents"]
    assert {decision.action for decision in planned(recipe).values()} == {"reuse"}
    store, (small, large, _) = released
    with launched() as browser, serving(store, home) as address, tab(browser, address) as opened:
        opened.goto(f"{address}/talk?first={small}")
        opened.get_by_label("Your name").fill("ada")
        opened.get_by_label("Longest reply").fill("20")
        opened.get_by_label("Second model").select_option(large)
        opened.keyboard.press("Enter")
        opened.locator("#question:focus").wait_for()
        opened.keyboard.type("Who is the miller of Avel?")
        opened.keyboard.press("Enter")
        opened.wait_for_url("**?turn=1#newest", timeout=60_000)
        with opened.expect_navigation():
            opened.keyboard.press("b")
        opened.get_by_text("A better answer than both").click()
        opened.get_by_label("The ideal answer").fill("Tom is the miller of Avel.")
        with opened.expect_navigation():
            opened.get_by_role("button", name="keep the ideal answer").click()
    assert planned(recipe)["judgements"].causes == (f"file people/{file_of('ada')} was added",)
    # What the models of random weights said is no text that is learned from; the ideal answer is.
    after = make(recipe)
    assert after["judgements"].metrics["lines"] == 10 and after[READ].metrics["documents"] == before + 1
