"""A file that changes while it is pinned is pinned in one of its versions, never in a mixture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from data.sources.fetching import remote
from data.sources.fetching.remote import fetch_remote, pin_remote
from tests.data.sources.fetching.loopback import QuietHandler, serving

OLD, NEW, SHORT = Random(1).randbytes(300_000), Random(2).randbytes(300_000), Random(3).randbytes(90_000)
MOST = 90_000
"""Bytes of an answer before the connection is cut."""


@dataclass
class Served:
    """What a server does: `versions` of the file, one an answer, the last for good; `tag`: the header that tells them apart."""

    versions: list[bytes]
    tag: str = "ETag"
    heeds: bool = True
    url: str = ""
    starts: list[int] = field(default_factory=list)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A server on loopback that cuts every answer, but the last of those from the beginning."""
    told = Served([OLD])
    monkeypatch.setattr(remote, "PAUSE", 0.01)

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            content = told.versions.pop(0) if len(told.versions) > 1 else told.versions[0]
            mark = f'"{len(content)}{content[:9].hex()}"'
            start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
            if told.heeds and self.headers.get("If-Range", mark) != mark:
                start = 0
            told.starts.append(start)
            self.send_response(416 if start >= len(content) else 206 if start else 200)
            if told.tag:
                self.send_header(told.tag, mark)
            if start >= len(content):
                self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", str(max(len(content) - start, 0)))
            self.end_headers()
            most = len(content) if told.starts.count(0) > 3 else MOST
            self.wfile.write(content[start : start + most])

    with serving(Handler) as address:
        told.url = f"{address}/box.bin"
        yield told


def _pinned(served: Served, cache: Path) -> bytes:
    return fetch_remote(pin_remote(served.url, cache, 1, 1), cache).read_bytes()


@pytest.mark.parametrize("tag", ["ETag", "Last-Modified", ""])
@pytest.mark.parametrize("heeds", [True, False])
@pytest.mark.parametrize("last", [NEW, SHORT], ids=["as long", "shorter"])
def test_a_file_that_changes_between_two_attempts_is_pinned_in_one_version(
    served: Served, tmp_path: Path, tag: str, heeds: bool, last: bytes
) -> None:
    served.tag, served.heeds, served.versions = tag, heeds, [OLD, OLD, last]
    assert _pinned(served, tmp_path) == last


def test_a_file_that_stays_is_pinned_from_the_byte_reached(served: Served, tmp_path: Path) -> None:
    assert _pinned(served, tmp_path) == OLD
    assert served.starts.count(0) == 1 and len(served.starts) > 3
