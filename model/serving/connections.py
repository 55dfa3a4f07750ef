"""Bound the connections of a server: each has a time to send its request, and a full server drops who has sent none.

uvicorn waits for a request's head without end and, when full, answers 503 to everyone, so a few hundred half-open connections would shut a
server for all, before any key is asked. Here a connection that has sent no whole request makes room for the next one, the oldest first,
as web servers with a request time-out do (Apache's mod_reqtimeout).
"""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from model.serving.guard import KEY, is_loopback
from model.serving.served import ServeLimits, error_body

FULL = error_body(503, "every connection of this server has a request at work; try again later", code="connections_full")

FILES = 256
"""Open files beside connections: those of models, of grammars that are followed, and of the worker processes."""
log = logging.getLogger(__name__)


class AddressError(ValueError):
    """The server can't listen where it is told to."""


def bound(host: str, port: int, key: str | None) -> socket.socket:
    """Return a socket that listens. Raise AddressError for an address in use, or one beyond this machine without a key."""
    if key is None and not is_loopback(host):
        raise AddressError(
            f"--host {host} can be reached from other machines, and there is no key: set {KEY} or give --key-file, or serve on 127.0.0.1"
        )
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        raise AddressError(f"can't listen on {host}:{port}: {error.strerror or error}; choose another with --host or --port") from None
    return listening


def with_files(limits: ServeLimits) -> ServeLimits:
    """Let this process open a file for each connection, up to the system's hard limit; return the limits, lowered to what that allows.

    A process that may open no more files can't accept, and so neither answers nor refuses anyone.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.connections + FILES
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed == wanted:
        return limits
    fitting = max(1, allowed - FILES)
    log.warning(
        "the system lets this process open %d files, so it takes %d connections in place of %d; raise the limit with `ulimit -Hn %d`",
        *(hard, fitting, limits.connections, wanted),
    )
    return limits.model_copy(update={"connections": fitting})


def server_config(app: Any, limits: ServeLimits, **options: Any) -> uvicorn.Config:
    """Return uvicorn's settings for an application behind these limits."""

    class Bounded(BoundedProtocol):
        bounds = limits
        open: list[BoundedProtocol] = []  # noqa: RUF012 - one list for each server

    return uvicorn.Config(app, http=Bounded, ws="none", access_log=False, server_header=False, lifespan="off", **options)


class BoundedProtocol(H11Protocol):
    """One connection. `open`: all of its server, in the order in which they came."""

    bounds: ServeLimits
    open: list[BoundedProtocol]
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection; make room for it if the server is full."""
        super().connection_made(transport)
        self.open.append(self)
        self._await_head()
        address = self._address
        same = [one for one in self.open if one._address == address]
        if len(same) > self.bounds.address_connections:
            self._make_room(same)
        elif len(self.open) > self.bounds.connections:
            self._make_room(self.open)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self in self.open:
            self.open.remove(self)
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read a part of a request; the time for its head begins with its first byte."""
        if self._head_timer is None and self._has_no_head:
            self._await_head()
        super().data_received(data)
        if not self._has_no_head:
            self._head_came()

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else ""

    @property
    def _has_no_head(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    @property
    def _is_unasked(self) -> bool:
        """Whether no whole request is at work: the connection is idle, or a head or body has not come to its end."""
        return self._has_no_head or self.cycle.more_body

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.bounds.head_seconds, self._abort)

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _make_room(self, among: list[BoundedProtocol]) -> None:
        # A body on its way is dropped only where every head has come.
        waiting = [one for one in among if one is not self and one._has_no_head] or [
            one for one in among if one is not self and one._is_unasked
        ]
        if waiting:
            waiting[0]._abort()
        else:
            self._refuse()

    def _abort(self) -> None:
        if self in self.open:
            self.open.remove(self)
        self.transport.abort()

    def _refuse(self) -> None:
        body = json.dumps(FULL).encode()
        head = f"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self.open.remove(self)
        self._head_came()
        self.transport.write(f"{head}retry-after: 1\r\nconnection: close\r\n\r\n".encode() + body)
        self.transport.close()
