"""Checks before every request: who may ask, from where, and how much they may send.

Without a key the server answers only to this machine's own names, so a page of another site whose name points here (DNS
rebinding) learns nothing; and bodies must say that they are JSON, which a page of another site may not send.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model.serving.served import ServeLimits, error_body

KEY = "FOLIO_SERVE_KEY"
OPEN = frozenset({"/", "/health", "/favicon.ico"})  # what says nothing of models
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
]
LARGE = 8  # requests larger than most, which take memory that no other limit bounds
Observe = Callable[[str, int, float], None]


def is_loopback(host: str) -> bool:
    """Return whether an address or name is this machine's own, so that it can be reached from this machine alone."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # A trailing dot names the same host, and names have no case (RFC 1034, 3.1).
        return host.lower().removesuffix(".") == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def read_key(file: Path | None) -> str | None:
    """Return the key that callers must show: a file's, or the environment's; None for neither. Raises ValueError for an unusable one."""
    named = f"--key-file {file}" if file is not None else KEY
    if file is not None:
        try:
            key = file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ValueError(f"{named}: {error.strerror}; give a file that holds the key") from None
    elif KEY not in os.environ:
        return None
    else:
        key = os.environ[KEY].strip()
    if len(key) < 16 or not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError(
            f"{named} must hold a key of 16 or more printable ASCII characters without spaces; make one with: openssl rand -hex 24"
        )
    return key


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """Return a request's headers by their names in lower case."""
    return {name.lower(): value for name, value in scope["headers"]}


def require_own_name(headers: Mapping[bytes, bytes]) -> None:
    """Raise Refused unless the request asks for this machine by a name of its own."""
    host = headers.get(b"host", b"").decode("latin-1")
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if not is_loopback(name.strip("[]")):
        raise Refused(403, f"host {name[:80]!r} is not this machine's own name; without a key only localhost and 127.0.0.0/8 are served")


def shows_key(headers: Mapping[bytes, bytes], key: str) -> bool:
    """Return whether a request shows the key: Authorization: Bearer KEY."""
    scheme, _, shown = headers.get(b"authorization", b"").partition(b" ")
    return scheme.lower() == b"bearer" and is_key(shown.strip(), key)


def is_key(shown: bytes, key: str) -> bool:
    """Return whether a key is the server's. The time that it takes says nothing of the key, nor of its length: digests are compared."""
    return hmac.compare_digest(*(hashlib.sha256(one).digest() for one in (shown, key.encode())))


class Refused(Exception):
    """A request that the server does not answer, and the status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Guard:
    """ASGI middleware. `key`: what a caller must show, None for none. `observe`: is told path, status and seconds of each request.

    larger: the largest request of paths that take more than others, in bytes. At most LARGE such requests are held at once.
    `headers` are added to each answer that does not have its own.
    """

    headers: ClassVar[list[tuple[bytes, bytes]]] = HEADERS
    app: ASGIApp
    key: str | None
    limits: ServeLimits
    observe: Observe = field(default=lambda path, status, seconds: None)
    larger: Mapping[str, int] = field(default_factory=dict)
    _large: set[int] = field(default_factory=set)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.monotonic(), 500

        async def answering(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = list(message.get("headers", []))
                names = {name.lower() for name, _ in own}
                message = {**message, "headers": [*own, *(header for header in self.headers if header[0] not in names)]}
            await send(message)

        try:
            self.admit(scope)
            await self.app(scope, await self._read(scope, receive), answering)
        except Refused as refused:
            await self.refuse(answering, scope, refused)
        finally:
            self._large.discard(id(scope))
            self.observe(scope["path"], status, time.monotonic() - began)

    def admit(self, scope: Scope) -> None:
        """Raise Refused for a request that may not be asked."""
        headers = headers_of(scope)
        if self.key is None:
            require_own_name(headers)
        elif scope["path"] not in OPEN and not shows_key(headers, self.key):
            raise Refused(401, "the key is missing or wrong; send it as: Authorization: Bearer KEY")
        if scope["method"] == "POST" and headers.get(b"content-type", b"").split(b";")[0].strip().lower() != b"application/json":
            raise Refused(415, "the body must be JSON: send Content-Type: application/json")

    async def refuse(self, send: Send, scope: Scope, refused: Refused) -> None:
        """Answer a request that is refused."""
        await _answer(send, refused.status, str(refused))

    async def _read(self, scope: Scope, receive: Receive) -> Receive:
        """Read the whole body, within the limits; return what receives it again, and then waits for the client to leave."""
        if scope["method"] != "POST":
            return receive
        parts, size = list[bytes](), 0
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refused(400, "the client has left before its request was complete")
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    self._require_room(scope, size)
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            raise Refused(408, f"the request did not arrive within {self.limits.body_seconds:g} seconds") from None
        whole: list[Message] = [{"type": "http.request", "body": b"".join(parts), "more_body": False}]

        async def again() -> Message:
            return whole.pop() if whole else await receive()

        return again

    def _require_room(self, scope: Scope, size: int) -> None:
        """Raise Refused if a request may not have so many bytes, or too many large ones are held."""
        most = max(self.limits.body_bytes, self.larger.get(scope["path"], 0))
        if size > most:
            raise Refused(413, f"the request is larger than {most} bytes")
        if size > self.limits.body_bytes and id(scope) not in self._large:
            if len(self._large) >= LARGE:
                raise Refused(503, f"{LARGE} requests with large pictures or recordings are at work; try again later")
            self._large.add(id(scope))


async def _answer(send: Send, status: int, message: str) -> None:
    body = json.dumps(error_body(status, message)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
