"""The page in a real browser: forms reach it, a live run is followed, nothing is asked outside, and everybody can use it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tasks.stage.store.journal import Journal, StageRecord
from tasks.stage.store.store import Store
from tasks.stage.store.verdicts import approvals
from tests.flows.page.browsing import faults, fits, launched, needs_chromium, serving, tab
from tests.flows.page.test_artifacts import released
from tests.flows.page.test_decisions import judged
from tests.flows.page.test_judging import answered
from tests.tasks.lineage.corpus_store import Corpus
from tests.tasks.lineage.edited_corpus import IDS, EditedCorpus
from tests.tasks.records import ran
from tests.tasks.reporting.example_run import HOSTILE

pytestmark = [pytest.mark.slow, needs_chromium]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium, once for all tests."""
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Path, list[str]]:
    """A home in which every page has something to show, its names hostile, and the addresses of its pages."""
    place = tmp_path_factory.mktemp("full")
    store = Store(str(place / "store"), place / "cache")
    corpus = EditedCorpus(store).write()
    run, made = next(Journal(store).newest()), next(one for one in corpus.snapshot.graph.newest_first if one.inputs)
    one, two = released(store, 1, "one", 1.25, recipe=HOSTILE), released(store, 2, "two", 1.5)
    judged(store, 3, recipe="asking", value=HOSTILE)
    book = f"/corpora/{run.id}/documents/{IDS['alice.txt']}"
    pair = "&".join(f"run={entry.id}" for entry in islice(Journal(store).newest(), 2))
    pages = ["/", "/?sort=took&figure=gate.passed", f"/compare?{pair}", f"/runs/{run.id}", "/plan",
             "/corpora", f"/corpora/{run.id}", f"/corpora/{run.id}/documents", book,
             f"/corpora/{run.id}/removed/clean/running_heads", "/models", f"/models/{one}", f"/models/side-by-side?model={one}&model={two}",
             "/decisions", "/talk", "/judging", "/artifacts", "/artifacts/clean", f"/artifacts/{made.location}", "/nowhere",
             "/sign-in"]  # fmt: skip
    return store, place / "home", pages


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (390, "light")])
def test_every_page_loads_alone_fits_the_window_and_has_no_fault_that_axe_finds(
    browser: Any, full: tuple[Store, Path, list[str]], width: int, scheme: str
) -> None:
    store, home, pages = full
    with serving(store, home) as address:
        size = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
        with tab(browser, address, **size) as opened:
            for path in pages:
                opened.goto(address + path)
                assert fits(opened), path
        # A page's policy lets nobody add axe to it.
        with tab(browser, address, **size, bypass_csp=True) as opened:
            for path in pages:
                opened.goto(address + path)
                assert not faults(opened), path


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (390, "light")])
def test_judging_has_no_fault_that_axe_finds_in_any_of_its_states(
    browser: Any, corpus: Corpus, home: Path, width: int, scheme: str
) -> None:
    models = answered(corpus, questions=3)
    size = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme, "bypass_csp": True}

    def look(state: str) -> None:
        assert not faults(opened), state
        assert fits(opened), state
        if folder := os.environ.get("FOLIO_SCREENSHOTS"):
            opened.screenshot(path=f"{folder}/judging-{state}-{width}-{scheme}.png", full_page=True)

    def press(key: str) -> None:
        with opened.expect_navigation():
            opened.keyboard.press(key)

    with serving(Store(f"{corpus.store.url}-empty", home / "cache"), home) as address, tab(browser, address, **size) as opened:
        opened.goto(f"{address}/judging")
        look("without-models")
    with serving(corpus.store, home) as address, tab(browser, address, **size) as opened:
        opened.goto(f"{address}/judging")
        look("without-judgements")
        for judge in ("ada", HOSTILE):
            opened.goto(f"{address}/judging")
            opened.get_by_label("Your name").fill(judge)
            press("Enter")
            look("question")
            press("a")
            look("kept")
            press("t")
            press("b")
            look("nothing-left")
        opened.goto(f"{address}/judging/next?judge=ada&first={models[0]}&second=&set=seen&seed=1")
        press("2")
        look("one-answer")
        opened.keyboard.press("w")
        opened.keyboard.type("nowhere in it")
        opened.keyboard.press("Escape")
        opened.get_by_label("What is right").fill("right")
        with opened.expect_navigation():
            opened.get_by_role("button", name="keep the correction").click()
        look("refused")
        opened.goto(f"{address}/judging")
        assert "alpha" in opened.locator("main").inner_text()
        look("judged")


def test_a_visitor_signs_in_and_decides_by_keyboard(browser: Any, tmp_path: Path, home: Path) -> None:
    store = Store(str(tmp_path / "store"), tmp_path / "cache")
    judged(store)
    with serving(store, home, "k" * 24) as address, tab(browser, address) as opened:
        opened.goto(f"{address}/decisions")
        opened.get_by_label("Your name").fill("Ada")
        opened.get_by_label("Key").fill("k" * 24)
        opened.keyboard.press("Enter")
        opened.wait_for_url(f"{address}/decisions")
        opened.get_by_label("approve", exact=True).focus()
        opened.keyboard.press("Space")
        opened.keyboard.press("Tab")
        opened.keyboard.type("it is good")
        opened.keyboard.press("Tab")
        opened.keyboard.press("Enter")
        opened.get_by_text("by Ada").wait_for()
    (given,) = approvals(store)
    assert (given.approved, given.who, given.reason) == (True, "Ada", "it is good")


def test_a_live_run_is_followed_until_it_ends(browser: Any, tmp_path: Path, home: Path) -> None:
    store = Store(str(tmp_path / "store"), tmp_path / "cache")
    stage = StageRecord(status="executing", began="2020-01-01T00:00:00+00:00", key="k" * 64)
    run = ran(store, 1, status="running", stages={"learn": stage})
    with serving(store, home) as address, tab(browser, address) as opened, Journal(store).running(run):
        opened.goto(f"{address}/runs/{run.id}")
        opened.get_by_text("executing").wait_for()
        more = {"learn": stage, "judge": stage}
        Journal(store).write(run.model_copy(update={"stages": more}))
        opened.get_by_text("judge").wait_for(timeout=20_000)
        Journal(store).write(run.model_copy(update={"status": "finished"}))
        opened.get_by_text("finished").wait_for(timeout=20_000)


def test_the_drawing_is_followed_by_a_click(browser: Any, full: tuple[Store, Path, list[str]]) -> None:
    store, home, pages = full
    with serving(store, home) as address, tab(browser, address) as opened:
        opened.goto(address + next(path for path in pages if path.startswith("/artifacts/") and path.count("/") == 3))
        before = opened.url
        opened.locator("svg a").first.click()
        opened.wait_for_load_state()
        assert opened.url != before and "/artifacts/" in opened.url
