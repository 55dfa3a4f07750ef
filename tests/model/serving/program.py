"""A program that a `Child` runs: it takes its time. Told the port, and the seconds that a reply takes."""

from __future__ import annotations

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PARTS = 50


class Handler(BaseHTTPRequestHandler):
    """Writes a reply in parts."""

    def do_GET(self) -> None:
        """Say that it is ready."""
        self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:
        """Write parts, each after some time."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        try:
            for _ in range(PARTS):
                self.wfile.write(b"data: {}\n\n")
                self.wfile.flush()
                time.sleep(float(sys.argv[2]) / PARTS)
        except OSError:
            return

    def log_message(self, *given: object) -> None:
        """Keep quiet."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
