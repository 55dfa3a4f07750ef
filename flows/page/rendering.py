"""Rendering of pages: templates that escape every text, what all pages share, and the fields of a form.

A room of the page joins by a router in `app.ROUTERS` and, if people should find it, an entry in `NAVIGATION`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote

from fastapi import Depends
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from flows.page.records import RunIndex
from tasks.reporting.svg import breakable
from tasks.reporting.wording import count, number, plural, seconds, share, size, words
from tasks.stage.store.store import Store

HERE = Path(__file__).parent
REPORT_STYLE = HERE.parents[1] / "tasks" / "reporting" / "page.css"
NAVIGATION: tuple[tuple[str, str], ...] = (
    ("/", "Runs"),
    ("/plan", "Plan"),
    ("/corpora", "Corpora"),
    ("/models", "Models"),
    ("/talk", "Talk"),
    ("/judging", "Judging"),
    ("/decisions", "Decisions"),
    ("/artifacts", "Artifacts"),
)
"""(address, name) of what the head of every page leads to, in order."""
VISITOR = "folio.visitor"
"""Where the scope of a request holds the name under which its visitor signed in; empty for one who need not."""
SHOWN = 15  # rows of a list before the next page
TONES = {"finished": "good", "failed": "bad", "crashed": "bad", "stopped": "warned", "running": "live"}


@dataclass(frozen=True)
class Site:
    """State that all requests share. `key`: whether visitors sign in."""

    store: Store
    home: Path
    signs_in: bool
    runs: RunIndex


@dataclass(frozen=True)
class Page:
    """The answer to one request."""

    request: Request
    site: Site

    @property
    def store(self) -> Store:
        """The store that is shown."""
        return self.site.store

    @property
    def runs(self) -> RunIndex:
        """Its runs."""
        return self.site.runs

    @property
    def number(self) -> int:
        """The part of a list that is asked for, from 1."""
        asked = self.request.query_params.get("page", "1")
        return max(1, int(asked)) if asked.isdecimal() and len(asked) < 9 else 1

    @property
    def visitor(self) -> str:
        """The name under which the visitor signed in; empty where nobody does."""
        return str(self.request.scope.get(VISITOR, ""))

    def name_of(self, form: Form, field: str) -> str:
        """Return who sends a form: whoever signed in, whatever the form says; else the name in it."""
        return self.visitor or form.text(field, 200)

    def asked(self, name: str) -> str:
        """Return a parameter of the address; "" if it is not there."""
        return self.request.query_params.get(name, "").strip()

    def show(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """Return the page that a template makes of these values; it escapes every text."""
        path = self.request.url.path
        here = next((address for address, _ in reversed(NAVIGATION) if address != "/" and path.startswith(address)), "/")
        whole = {
            "navigation": NAVIGATION, "here": here, "path": path, "signs_in": self.site.signs_in, "visitor": self.visitor,
            "store_url": self.store.url, **values,
        }  # fmt: skip
        return HTMLResponse(environment().get_template(template).render(whole), status)


def page_of(request: Request) -> Page:
    """Return the page that answers a request."""
    return Page(request, request.app.state.site)


@dataclass(frozen=True)
class Part:
    """One part of a long list. `rows`: those shown; `number`: which part, from 1; `total`: rows of the whole list, None if unknown."""

    rows: list[Any]
    number: int
    more: bool
    total: int | None = None
    query: Mapping[str, str] = field(default_factory=dict)

    def address(self, number: int) -> str:
        """Return the address of another part, relative to the page."""
        asked = {**{name: value for name, value in self.query.items() if value}, "page": str(number)}
        return "?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in asked.items())


class Form(dict[str, str]):
    """The fields of a form that was sent, each a text."""

    def text(self, name: str, most: int = 2000) -> str:
        """Return a field without the spaces around it. Raises ValueError if it is missing, empty or longer than `most` characters."""
        found = self.get(name, "").strip()
        if not found:
            raise ValueError(f"{name} is empty; fill it in.")
        if len(found) > most:
            raise ValueError(f"{name} has {len(found):,} characters; at most {most:,} are taken.")
        return found


async def _form(request: Request) -> Form:
    body = (await request.body()).decode("utf-8", errors="replace")
    return Form(parse_qsl(body, keep_blank_values=True, max_num_fields=100))


Sent = Annotated[Form, Depends(_form)]
"""The type of a parameter that is the form of the request."""


def part_of(rows: list[Any], number: int, total: int | None = None, most: int = SHOWN, **query: str) -> Part:
    """Return a part of a list from its rows, of which the caller may give one more than are shown to say that there are others."""
    more = len(rows) > most if total is None else number * most < total
    return Part(rows[:most], number, more, total, query)


@lru_cache(4096)
def when(text: str) -> str:
    """Return a time in UTC as people write it, to the second: `2026-12-03 06:40:12`."""
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S}" if text else ""


@lru_cache(4096)
def link(*parts: str) -> str:
    """Return an address of this page from the parts of its path, each quoted."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


def place(location: str) -> str:
    """Return the address of an artifact by its location in the store."""
    return link("artifacts", *location.split("/", 1))


@cache
def environment() -> Environment:
    """Return the templates."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {"when": when, "count": count, "number": number, "seconds": seconds, "share": share, "size": size, "words": words}
    made.filters["breakable"] = breakable
    made.globals |= {"link": link, "place": place, "plural": plural, "tones": TONES}
    return made


@cache
def style() -> str:
    """Return the style sheet: the report's, whose drawings and tables the pages show, then what is the pages' own."""
    return REPORT_STYLE.read_text(encoding="utf-8") + (HERE / "page.css").read_text(encoding="utf-8")


@cache
def script() -> str:
    """Return the script that keeps a live run's state fresh."""
    return (HERE / "live.js").read_text(encoding="utf-8")
