"""An S3 server of our own (moto's), which knows conditional writes as Amazon's does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BUCKET = "books"


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """Serve an empty bucket; yield the environment in which `s3://books/...` leads there."""
    with tempfile.NamedTemporaryFile() as log:
        # It chooses its port: one that was found free before may be another's by the time it listens.
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
        # Whoever ends the processes of a run, or of a home, is not to find it among them.
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("FOLIO_", "PREFECT_"))}
        server = subprocess.Popen(command, stdout=log, stderr=log, env={**plain, "OMP_NUM_THREADS": "1"})
        try:
            address = _address(server, Path(log.name))
            urllib.request.urlopen(urllib.request.Request(f"{address}/{BUCKET}", method="PUT"), timeout=60)
            yield {
                "AWS_ENDPOINT_URL": address,
                "AWS_ACCESS_KEY_ID": "anybody",
                "AWS_SECRET_ACCESS_KEY": "anything",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_EC2_METADATA_DISABLED": "true",
            }
            ended = server.poll()
            assert ended is None, f"the S3 server ended by itself with {ended}: {Path(log.name).read_text(errors='replace')[-2000:]}"
        finally:
            server.kill()
            server.wait()


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    """Return where the server listens, once its log says so."""
    deadline = time.monotonic() + 120
    while (found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text(encoding="utf-8", errors="replace"))) is None:
        assert time.monotonic() < deadline and server.poll() is None, f"the S3 server does not start: {log.read_text()}"
        time.sleep(0.1)
    return found.group()
