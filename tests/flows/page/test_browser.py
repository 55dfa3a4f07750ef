"""The page in a real browser: forms reach it, a live run is followed, nothing is asked outside, and everybody can use it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from flows.page.app import LIMITS, make_app
from tasks.stage.store.journal import Journal, StageRecord
from tasks.stage.store.store import Store
from tasks.stage.store.verdicts import approvals
from tests.flows.page.test_artifacts import released
from tests.flows.page.test_decisions import judged
from tests.model.serving.running import answering
from tests.tasks.lineage.edited_corpus import IDS, EditedCorpus
from tests.tasks.records import ran
from tests.tasks.reporting.example_run import HOSTILE

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium, once for all tests."""
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


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
             "/decisions", "/judging", "/artifacts", "/artifacts/clean", f"/artifacts/{made.location}", "/nowhere",
             "/sign-in"]  # fmt: skip
    return store, place / "home", pages


def serving(store: Store, home: Path, key: str | None = None) -> AbstractContextManager[str]:
    """Serve the page inside the block; yield its address."""
    return answering(make_app(store.url, home, key), LIMITS, key)


@contextmanager
def tab(browser: Any, address: str, **options: Any) -> Iterator[Any]:
    """Open a tab, which may write no error on the console and ask nothing outside."""
    context = browser.new_context(**options)
    opened, wrong = context.new_page(), list[str]()
    opened.on("console", lambda said: wrong.append(said.text) if said.type == "error" and "status of 4" not in said.text else None)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("dialog", lambda dialog: wrong.append(dialog.message))
    opened.on("request", lambda request: None if request.url.startswith(address) else wrong.append(request.url))
    try:
        yield opened
    finally:
        context.close()
    assert not wrong


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (390, "light")])
def test_every_page_loads_alone_fits_the_window_and_has_no_fault_that_axe_finds(
    browser: Any, full: tuple[Store, Path, list[str]], width: int, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    store, home, pages = full
    with serving(store, home) as address:
        size = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
        with tab(browser, address, **size) as opened:
            for path in pages:
                opened.goto(address + path)
                assert opened.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), path
        # A page's policy lets nobody add axe to it.
        with tab(browser, address, **size, bypass_csp=True) as opened:
            for path in pages:
                opened.goto(address + path)
                for details in opened.locator("details").all():
                    details.evaluate("details => { details.open = true; }")
                found = axe.run(opened).response["violations"]
                serious = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]
                assert not serious, path


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
