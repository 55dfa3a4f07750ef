"""A server on loopback, for what is fetched."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class QuietHandler(BaseHTTPRequestHandler):
    """A handler that prints no line for a request."""

    def log_message(self, format: str, *args: object) -> None:
        pass


class _FolderHandler(QuietHandler, SimpleHTTPRequestHandler):
    pass


@contextmanager
def serving(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """Answer requests by a handler; yield the address, without a slash at its end."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def serving_folder(folder: Path) -> AbstractContextManager[str]:
    """Answer requests with the files of a folder."""
    return serving(partial(_FolderHandler, directory=str(folder)))
