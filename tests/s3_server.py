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

import fsspec

BUCKET = "books"


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """Serve an empty bucket; yield the environment in which `s3://books/...` leads there."""
    with tempfile.NamedTemporaryFile() as log:
        # It chooses its port: one that was found free before may be another's by the time it listens.
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
        server = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})
        try:
            address = _address(server, Path(log.name))
            urllib.request.urlopen(urllib.request.Request(f"{address}/{BUCKET}", method="PUT"), timeout=60)
            # fsspec keeps filesystems by what they were asked for, not by the environment: one of an earlier server leads to its port.
            fsspec.get_filesystem_class("s3").clear_instance_cache()
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
