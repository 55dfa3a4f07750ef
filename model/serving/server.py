"""Run the server until it is told to end."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping

import uvicorn

from model.serving.app import make_app
from model.serving.guard import is_loopback
from model.serving.limits import ServeLimits
from model.serving.served import ServedModel


class AddressError(ValueError):
    """The server can't listen where it is told to."""


def bound(host: str, port: int, key: str | None) -> socket.socket:
    """Return a socket that listens. Raise AddressError for an address in use, or one beyond this machine without a key."""
    if key is None and not is_loopback(host):
        raise AddressError(
            f"--host {host} can be reached from other machines, and there is no key: set FOLIO_SERVE_KEY or give --key-file, "
            "or serve on 127.0.0.1"
        )
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        raise AddressError(f"can't listen on {host}:{port}: {error.strerror or error}; choose another with --host or --port") from None
    return listening


def compute_with(threads: int) -> None:
    """Make every engine compute with this many threads."""
    import torch

    from model.hardware.waiting import watch

    torch.set_num_threads(threads)
    watch()


def serve(
    models: Mapping[str, ServedModel], limits: ServeLimits, listening: socket.socket, key: str | None, ready: Callable[[str], None]
) -> None:
    """Serve until SIGINT or SIGTERM; `ready` is told the address. Replies at work get some seconds to end. Closes the models."""
    config = uvicorn.Config(
        make_app(models, limits, key),
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=limits.connections,
        timeout_graceful_shutdown=5,
        lifespan="off",
    )
    host, port = listening.getsockname()[:2]
    ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        for model in models.values():
            model.close()
