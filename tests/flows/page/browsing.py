"""A Chromium for tests of the page: it may ask nothing outside and write no error, and axe looks for faults in what it shows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from flows.page.app import LIMITS, make_app
from tasks.stage.store.store import Store
from tests.model.serving.running import answering

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@contextmanager
def launched() -> Iterator[Any]:
    """Run a Chromium inside the block."""
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


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


def faults(opened: Any) -> list[tuple[str, str]]:
    """What axe finds in an open page that is serious, with every fold opened: the rule and the first element. Its tab has `bypass_csp`."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for details in opened.locator("details").all():
        details.evaluate("details => { details.open = true; }")
    found = axe.run(opened).response["violations"]
    return [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]


def fits(opened: Any) -> bool:
    """Whether an open page is no wider than its window."""
    return bool(opened.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))
