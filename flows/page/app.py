"""The page as a server: its routers, who may ask, and `python -m flows.page.app`, which `folio up` starts.

On this machine alone no key is needed, but a request must name this machine by a name of its own, so a site whose name is made to point
here (DNS rebinding) is refused. Beyond it a visitor signs in by name with the key that `folio serve` takes, too; a cookie that ends with
the server stands for both afterwards, and the name is the one under which that visitor judges and decides. Whatever changes something is a
form that only the page's own forms can send: the browser says where it was (`Origin`, `Sec-Fetch-Site`), and a request that says neither
must show the key. A page loads nothing from elsewhere and holds no script or style within its text.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import hmac
import ipaddress
import logging
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote, urlsplit

import uvicorn
from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import Scope, Send

from flows.cli.signals import stoppable
from flows.page import artifacts, comparing, corpora, decisions, judging, models, runs, talking
from flows.page.records import RunIndex
from flows.page.rendering import VISITOR, Sent, Site, page_of, script, style
from flows.services.home import home, store_url
from model.serving.connections import bound, server_config
from model.serving.guard import Guard, Refused, headers_of, is_key, read_key, require_own_name, shows_key
from model.serving.served import ServeLimits
from tasks.stage.store.store import StoreError, open_store

ROUTERS: tuple[APIRouter, ...] = (
    runs.router, comparing.router, decisions.router, corpora.router, models.router, talking.router, judging.router,
    artifacts.router,
)  # fmt: skip
"""The rooms of the page."""
LIMITS = ServeLimits(body_bytes=1 << 18)
COOKIE = "folio_page"
OPEN = frozenset({"/health", "/sign-in", "/page.css", "/live.js", "/favicon.ico"})  # what says nothing of the store
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
log = logging.getLogger(__name__)


@dataclass
class Tries:
    """Wrong keys, by the address that they came from: after FREE of them it waits, twice as long each time, whatever it sends.

    An IPv6 address counts as its network of 64 bits, which is what one visitor is given. Forgets an address LONGEST seconds after its last
    wrong key, and the one that has been quiet the longest when there are more than MOST.
    """

    FREE: ClassVar[int] = 5
    LONGEST: ClassVar[float] = 900.0
    MOST: ClassVar[int] = 4096
    clock: Callable[[], float] = time.monotonic
    _wrong: OrderedDict[str, tuple[int, float]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self, address: str) -> float:
        """Return how many seconds an address must wait before its next try."""
        with self._lock:
            count, last = self._wrong.get(_network(address), (0, 0.0))
            if count < self.FREE:
                return 0.0
            return max(0.0, last + min(self.LONGEST, 2.0 ** (count - self.FREE)) - self.clock())

    def admit(self, address: str) -> None:
        """Raise Refused if an address must wait."""
        if (left := self.wait(address)) > 0:
            raise Refused(429, f"too many wrong keys came from {address}; try again in {left:.0f} seconds")

    def record(self, address: str, *, right: bool) -> None:
        """Count a wrong key, or forget the wrong ones before a right one."""
        with self._lock:
            network, now = _network(address), self.clock()
            count, last = self._wrong.pop(network, (0, now))
            if right:
                return
            # A mistake that is older than the longest wait no longer counts.
            self._wrong[network] = (count + 1 if now - last < self.LONGEST else 1, now)
            while len(self._wrong) > self.MOST:
                self._wrong.popitem(last=False)


def _network(address: str) -> str:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address) or found.ipv4_mapped:
        return str(getattr(found, "ipv4_mapped", None) or found)
    return str(ipaddress.ip_network((found, 64), strict=False))


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else "an unknown address"


@dataclass(frozen=True)
class Sessions:
    """Cookies of visitors who have signed in: their name and its signature by a secret that ends with the server."""

    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def cookie(self, name: str) -> str:
        """Return the cookie of a visitor of this name."""
        return f"{base64.urlsafe_b64encode(name.encode()).decode()}.{self._signature(name)}"

    def name(self, cookie: str) -> str | None:
        """Return whose cookie it is; None if it is none of this server's."""
        written, _, signature = cookie.partition(".")
        try:
            name = base64.urlsafe_b64decode(written.encode()).decode()
        except (binascii.Error, UnicodeError):
            return None
        return name if hmac.compare_digest(signature.encode(), self._signature(name).encode()) else None

    def _signature(self, name: str) -> str:
        return hmac.new(self.secret, name.encode(), hashlib.sha256).hexdigest()


@dataclass
class PageGuard(Guard):
    """Checks before every request. `sessions`: who has signed in; `tries`: who showed wrong keys."""

    headers: ClassVar[list[tuple[bytes, bytes]]] = [
        (b"content-security-policy", POLICY.encode()),
        (b"x-content-type-options", b"nosniff"),
        # A form's browser says where it was only where it may say so to this site.
        (b"referrer-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"x-frame-options", b"DENY"),
        (b"cache-control", b"no-store"),
    ]
    sessions: Sessions = field(default_factory=Sessions)
    tries: Tries = field(default_factory=Tries)
    runs: RunIndex | None = None
    talks: talking.Talks = field(default_factory=talking.Talks)

    def close(self) -> None:
        """End the processes of models."""
        self.talks.processes.close()

    def read_ahead(self) -> None:
        """Read the records of all runs once, so that lists need not."""
        with suppress(OSError, StoreError):
            deque(self.runs.newest() if self.runs is not None else (), maxlen=0)

    def admit(self, scope: Scope) -> None:
        """Raise Refused for a request that may not be asked."""
        headers = headers_of(scope)
        keyed = self.key is not None and b"authorization" in headers and self._shows_key(headers, _address(scope))
        visitor = None if self.key is None else self.sessions.name(_cookie(headers))
        if self.key is None:
            require_own_name(headers)
        elif scope["path"] not in OPEN and not keyed and visitor is None:
            raise Refused(401, "sign in with the key of this server")
        scope[VISITOR] = visitor or ""
        if scope["method"] not in ("GET", "HEAD") and not keyed:
            require_own_form(headers)

    def _shows_key(self, headers: dict[bytes, bytes], address: str) -> bool:
        self.tries.admit(address)
        right = self.key is not None and shows_key(headers, self.key)
        self.tries.record(address, right=right)
        return right

    async def refuse(self, send: Send, scope: Scope, refused: Refused) -> None:
        """Answer a request that is refused; a visitor who has not signed in is led to where that is done."""
        if refused.status == 401 and scope["method"] == "GET":
            asked = scope["path"] + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
            await RedirectResponse(f"/sign-in?next={quote(asked, safe='')}", 303)(scope, _nothing, send)
        else:
            await PlainTextResponse(f"{refused}\n", refused.status)(scope, _nothing, send)


async def _nothing() -> dict[str, str]:
    return {"type": "http.disconnect"}


def _cookie(headers: dict[bytes, bytes]) -> str:
    try:
        found = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found is not None else ""


def require_own_form(headers: dict[bytes, bytes]) -> None:
    """Raise Refused unless the browser says that a form of this very server was sent."""
    origin, site = (headers.get(name, b"").decode("latin-1") for name in (b"origin", b"sec-fetch-site"))
    own = urlsplit(origin).netloc.lower() == headers.get(b"host", b"").decode("latin-1").lower() if origin else site == "same-origin"
    if not own or site not in ("", "same-origin"):
        raise Refused(403, f"this form was sent by {origin[:80] or 'an unknown site'}, not by this page; open the page and send it there")


def make_app(store: str, folder: Path, key: str | None = None) -> PageGuard:
    """Return the page of a store and a home. `key`: what visitors sign in with; None: anyone on this machine may look."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    opened = open_store(store, Path.cwd(), folder)
    app.state.site = Site(opened, folder, key is not None, RunIndex(opened))
    app.state.talks = talks = talking.Talks()
    sessions, tries = Sessions(), Tries()
    _add_errors(app)
    _add_house(app, key, sessions, tries)
    for router in ROUTERS:
        app.include_router(router)
    return PageGuard(app, key, LIMITS, sessions=sessions, tries=tries, runs=app.state.site.runs, talks=talks)


def _add_house(app: FastAPI, key: str | None, sessions: Sessions, tries: Tries) -> None:
    """Add what is not about the store: health, style, script and signing in."""

    @app.get("/health")
    def health() -> Response:
        return PlainTextResponse("folio page")

    @app.get("/page.css")
    def styled() -> Response:
        return Response(style(), media_type="text/css", headers={"Cache-Control": "no-cache"})

    @app.get("/live.js")
    def scripted() -> Response:
        return Response(script(), media_type="text/javascript", headers={"Cache-Control": "no-cache"})

    @app.get("/favicon.ico")
    def icon() -> Response:
        return Response(status_code=204)

    @app.get("/sign-in")
    def ask(request: Request) -> Response:
        page = page_of(request)
        return page.show("sign_in.html.jinja", next=_own_path(page.asked("next")), wrong="", name="")

    @app.post("/sign-in")
    def sign_in(request: Request, form: Sent) -> Response:
        page, onward, address = page_of(request), _own_path(form.get("next", "")), _address(request.scope)
        name, status, wrong = form.get("name", "").strip(), 0, ""
        if (left := tries.wait(address)) > 0:
            status, wrong = 429, f"Too many wrong keys came from {address}. Try again in {left:.0f} seconds."
        else:
            right = key is not None and is_key(form.get("key", "").strip().encode(), key)
            tries.record(address, right=right)
            if not right:
                status, wrong = 401, "That is not the key."
            elif not 0 < len(name) <= 200:
                status, wrong = 400, f"Your name has {len(name)} characters; give one of 1 to 200."
        if wrong:
            return page.show("sign_in.html.jinja", status=status, next=onward, wrong=wrong, name=name[:200])
        answer = RedirectResponse(onward, 303)
        answer.set_cookie(COOKIE, sessions.cookie(name), httponly=True, samesite="strict", path="/")
        return answer


def _own_path(text: str) -> str:
    """Return a path of this server; the first page for anything that could lead elsewhere."""
    return text if text.startswith("/") and text[1:2] not in ("/", "\\") and text.isprintable() else "/"


def _add_errors(app: FastAPI) -> None:
    """Say in words what can't be shown."""

    def answer(status: int, title: str) -> Callable[[Request, Exception], Response]:
        def told(request: Request, error: Exception) -> Response:
            said = str(error.detail) if isinstance(error, HTTPException) else str(error.args[0] if error.args else error)
            return page_of(request).show("problem.html.jinja", status=status, title=title, said=said)

        return told

    def lost(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        said = f"There is no {request.url.path} here." if status == 404 else f"{request.url.path} does not take {request.method}."
        return page_of(request).show("problem.html.jinja", status=status, title="Not found", said=said)

    def fault(request: Request, error: Exception) -> Response:
        log.error("%s failed", request.url.path, exc_info=error)
        said = f"The page could not be made: {type(error).__name__}. The log of the page says more."
        return page_of(request).show("problem.html.jinja", status=500, title="An error", said=said)

    app.add_exception_handler(HTTPException, lost)
    app.add_exception_handler(RequestValidationError, answer(400, "That is not understood"))
    app.add_exception_handler(LookupError, answer(404, "Not found"))
    app.add_exception_handler(FileNotFoundError, answer(404, "It is gone"))
    app.add_exception_handler(ValueError, answer(400, "That is not possible"))
    app.add_exception_handler(StoreError, answer(503, "The store can't be read"))
    app.add_exception_handler(Exception, fault)


def serve_page(host: str, port: int, key_file: Path | None, store: str, ready: Callable[[str], None]) -> None:
    """Serve the page until SIGINT or SIGTERM; `ready` is told the address.

    Raises ValueError for an unusable key, and AddressError for an address in use, or one beyond this machine without a key.
    """
    key = read_key(key_file)
    listening = bound(host, port, key)
    app = make_app(store or store_url(), home(), key)
    config = server_config(app, LIMITS, log_level="warning", timeout_graceful_shutdown=2)
    # Whoever opens the first page shouldn't wait until the records of all runs are read.
    threading.Thread(target=app.read_ahead, daemon=True).start()
    shown, taken = listening.getsockname()[:2]
    ready(f"http://{f'[{shown}]' if ':' in shown else shown}:{taken}/")
    try:
        with stoppable(last=True):
            uvicorn.Server(config).run(sockets=[listening])
    finally:
        app.close()


def main() -> None:
    """Serve the page of this home on loopback."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, required=True)
    given = arguments.parse_args()
    serve_page("127.0.0.1", given.port, None, "", lambda address: print(address, flush=True))


if __name__ == "__main__":
    main()
