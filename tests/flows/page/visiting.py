"""A visitor of the page, and a store with a few runs to look at."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

from starlette.testclient import TestClient

from flows.page.app import make_app
from tasks.stage.store.store import Store
from tests.tasks.reporting.example_run import CALLS_HOME

ADDRESS = "http://127.0.0.1:4400"
VOID = {"meta", "link", "input", "br", "img", "hr"}


class Seen(HTMLParser):
    """A page as a browser reads it: its text, its tags with their attributes, and where its links lead."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag."""
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        """Keep a text."""
        self.words.append(data)

    @property
    def text(self) -> str:
        """All text, with single spaces."""
        return " ".join(" ".join(self.words).split())

    @property
    def links(self) -> list[str]:
        """Where it leads."""
        return [attributes["href"] for tag, attributes in self.tags if tag == "a" and "href" in attributes]

    def dangers(self) -> list[str]:
        """What could run, load or post elsewhere: a script or style within the page, an address outside, a handler."""
        found = []
        for tag, attributes in self.tags:
            addresses = [attributes[name] for name in ("src", "href", "action", "formaction", "data") if name in attributes]
            found += [f"<{tag}> {address}" for address in addresses if not address.startswith(("/", "#", "?")) or address.startswith("//")]
            found += [f"<{tag} {name}>" for name in attributes if name.startswith("on") or name == "style"]
            if (
                tag == "style"
                or (tag in CALLS_HOME and tag not in ("script", "link", "form"))
                or (tag == "script" and "src" not in attributes)
            ):
                found.append(f"<{tag}>")
        return found


def visitor(store: Store, home: Path, key: str | None = None, address: str = ADDRESS) -> TestClient:
    """Return a browser of the page of a store, which has not signed in."""
    return TestClient(make_app(store.url, home, key), base_url=address, follow_redirects=False)


def seen(browser: TestClient, address: str, status: int = 200) -> Seen:
    """Open a page, which must be harmless, and return it."""
    answer = browser.get(address)
    assert answer.status_code == status, answer.text
    found = Seen(answer.text)
    assert not found.dangers()
    return found


def send(browser: TestClient, address: str, fields: dict[str, str], origin: str = ADDRESS) -> tuple[int, Seen, str]:
    """Send a form as a browser does that has opened the page at `origin`; return status, page and where it leads."""
    answer = browser.post(address, data=fields, headers={"Origin": origin})
    return answer.status_code, Seen(answer.text), answer.headers.get("location", "")
