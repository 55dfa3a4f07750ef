"""Checks before every request: who may ask, from where, and how much they may send.

Without a key the server answers only to this machine's own names, so a page of another site whose name points here (DNS
rebinding) learns nothing; and bodies must say that they are JSON, which a page of another site may not send.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model.serving.served import ServeLimits, error_body

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


class _Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Guard:
    """ASGI middleware. `key`: what a caller must show, None for none. `observe`: is told path, status and seconds of each request.

    larger: the largest request of paths that take more than others, in bytes. At most LARGE such requests are held at once.
    """

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
                message = {**message, "headers": [*message.get("headers", []), *HEADERS]}
            await send(message)

        try:
            self._admit(scope)
            await self.app(scope, await self._read(scope, receive), answering)
        except _Refused as refused:
            await _answer(answering, refused.status, str(refused))
        finally:
            self._large.discard(id(scope))
            self.observe(scope["path"], status, time.monotonic() - began)

    def _admit(self, scope: Scope) -> None:
        headers = {name.lower(): value for name, value in scope["headers"]}
        if self.key is None:
            host = headers.get(b"host", b"").decode("latin-1")
            name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
            if not is_loopback(name.strip("[]")):
                raise _Refused(
                    403, f"host {name[:80]!r} is not this machine's own name; without a key only localhost and 127.0.0.0/8 are served"
                )
        elif scope["path"] not in OPEN:
            scheme, _, shown = headers.get(b"authorization", b"").partition(b" ")
            if scheme.lower() != b"bearer" or not hmac.compare_digest(shown.strip(), self.key.encode()):
                raise _Refused(401, "the key is missing or wrong; send it as: Authorization: Bearer KEY")
        if scope["method"] == "POST" and headers.get(b"content-type", b"").split(b";")[0].strip().lower() != b"application/json":
            raise _Refused(415, "the body must be JSON: send Content-Type: application/json")

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
                        raise _Refused(400, "the client has left before its request was complete")
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    self._require_room(scope, size)
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            raise _Refused(408, f"the request did not arrive within {self.limits.body_seconds:g} seconds") from None
        whole: list[Message] = [{"type": "http.request", "body": b"".join(parts), "more_body": False}]

        async def again() -> Message:
            return whole.pop() if whole else await receive()

        return again

    def _require_room(self, scope: Scope, size: int) -> None:
        """Raise _Refused if a request may not have so many bytes, or too many large ones are held."""
        most = max(self.limits.body_bytes, self.larger.get(scope["path"], 0))
        if size > most:
            raise _Refused(413, f"the request is larger than {most} bytes")
        if size > self.limits.body_bytes and id(scope) not in self._large:
            if len(self._large) >= LARGE:
                raise _Refused(503, f"{LARGE} requests with large pictures are at work; try again later")
            self._large.add(id(scope))


async def _answer(send: Send, status: int, message: str) -> None:
    body = json.dumps(error_body(status, message)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
