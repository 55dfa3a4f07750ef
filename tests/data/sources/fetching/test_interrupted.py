"""A download lasts as long as it brings something: what is cut is taken up again, and what passes is waited for."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from data.sources.config import RemoteSource
from data.sources.errors import SourceError
from data.sources.fetching import remote
from data.sources.fetching.pinned import fetch_pinned
from data.sources.fetching.remote import Deadline, TimeIsUp, fetch_remote
from tests.data.sources.fetching.loopback import QuietHandler, serving

CONTENT = Random(1).randbytes(400_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Served:
    """What a server does. `most`: bytes in one answer; `failing`: statuses of its first answers; `requests`: where each began."""

    url: str = ""
    most: int = len(CONTENT)
    ranges: bool = True
    failing: list[int] = field(default_factory=list)
    pause: float = 0.0
    requests: list[int] = field(default_factory=list)
    together: int = 0
    at_once: int = 0


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A server on loopback that cuts, stalls or refuses as it is told."""
    told = Served()
    monkeypatch.setattr(remote, "PAUSE", 0.01)

    class Handler(QuietHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.end_headers()

        def do_GET(self) -> None:
            if told.failing:
                self.send_response(told.failing.pop(0))
                self.end_headers()
                return
            asked = self.headers.get("Range", "")
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and told.ranges else 0
            told.requests.append(start)
            told.together += 1
            told.at_once = max(told.at_once, told.together)
            if start >= len(CONTENT):
                self.send_response(416)
                self.end_headers()
            else:
                self.send_response(206 if asked and told.ranges else 200)
                self.send_header("Content-Length", str(len(CONTENT) - start))
                self.end_headers()
                self.wfile.write(CONTENT[start : start + told.most])
                self.wfile.flush()
                time.sleep(told.pause)
            told.together -= 1

    with serving(Handler) as address:
        told.url = f"{address}/box.bin"
        yield told


def _source(served: Served, name: str = "box", sha256: str = DIGEST) -> RemoteSource:
    return RemoteSource(name=name, url=served.url, sha256=sha256)


def test_a_download_that_is_cut_goes_on_from_the_byte_it_reached(served: Served, tmp_path: Path) -> None:
    served.most = 90_000
    assert fetch_remote(_source(served), tmp_path).read_bytes() == CONTENT
    assert served.requests == sorted(served.requests) and max(served.requests) > 4 * 80_000, "what was written is not fetched again"


def test_a_server_without_ranges_is_asked_again_from_the_beginning(served: Served, tmp_path: Path) -> None:
    served.most, served.ranges = 90_000, False
    with pytest.raises(SourceError, match="could not be fetched"):
        fetch_remote(_source(served), tmp_path)
    served.most = len(CONTENT)
    assert fetch_remote(_source(served), tmp_path).read_bytes() == CONTENT


def test_errors_that_pass_are_tried_again_and_others_are_told_at_once(served: Served, tmp_path: Path) -> None:
    served.failing = [503, 429, 500]
    assert fetch_remote(_source(served), tmp_path / "a").read_bytes() == CONTENT
    served.failing = [403, 403]
    with pytest.raises(SourceError, match="403"):
        fetch_remote(_source(served), tmp_path / "b")
    assert served.failing == [403]


def test_a_server_that_fails_for_ever_is_an_error(served: Served, tmp_path: Path) -> None:
    served.failing = [503] * 99
    with pytest.raises(SourceError, match=r"could not be fetched.*503"):
        fetch_remote(_source(served), tmp_path)
    assert len(served.failing) == 99 - remote.ATTEMPTS


def test_a_read_that_brings_nothing_ends_and_the_download_goes_on(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "STALLED", 0.2)
    served.most, served.pause = 250_000, 0.6
    assert fetch_remote(_source(served), tmp_path).read_bytes() == CONTENT
    assert served.requests == [0, 250_000]


def test_what_an_earlier_run_left_is_taken_up_and_if_it_is_another_file_s_fetched_anew(served: Served, tmp_path: Path) -> None:
    partial = tmp_path / f".{DIGEST[:16]}-box.bin.partial"
    partial.write_bytes(CONTENT[:150_000])
    kept = fetch_remote(_source(served), tmp_path)
    assert kept.read_bytes() == CONTENT and served.requests == [150_000]
    kept.unlink()
    partial.write_bytes(b"another beginning")
    assert fetch_remote(_source(served), tmp_path).read_bytes() == CONTENT
    kept.unlink()
    partial.write_bytes(CONTENT)
    assert fetch_remote(_source(served), tmp_path).read_bytes() == CONTENT, "a complete file has nothing behind it to ask for"


def test_several_that_want_one_file_fetch_it_once_and_several_files_are_fetched_at_once(served: Served, tmp_path: Path) -> None:
    served.pause = 0.2
    with ThreadPoolExecutor(4) as pool:
        files = list(pool.map(lambda _: fetch_remote(_source(served), tmp_path / "one"), range(4)))
    assert len(set(files)) == 1 and served.requests == [0]
    url = served.url
    sources = [RemoteSource(name=f"s{number}", url=url.replace("box", f"box{number}"), sha256=DIGEST) for number in range(3)]
    assert [path.read_bytes() for path in fetch_pinned(sources, tmp_path / "many").values()] == [CONTENT] * 3
    assert served.at_once > 1


def test_a_server_that_drips_for_ever_is_left_at_the_limit_and_what_it_gave_is_kept(tmp_path: Path) -> None:
    stopped = threading.Event()

    class Dripping(QuietHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            for byte in CONTENT:
                if stopped.wait(0.05):
                    return
                try:
                    self.wfile.write(bytes((byte,)))
                except OSError:
                    return

    with serving(Dripping) as address:
        with pytest.raises(SourceError, match=r"took longer than max_hours=0\.001 in all\..* Raise `max_hours`.*by hand"):
            fetch_remote(RemoteSource(name="box", url=f"{address}/box.bin", sha256=DIGEST, max_hours=0.001), tmp_path)
        stopped.set()
    assert CONTENT.startswith((tmp_path / f".{DIGEST[:16]}-box.bin.partial").read_bytes())


def test_a_call_that_never_answers_is_left_at_the_deadline_and_an_error_of_its_own_is_its_own() -> None:
    never = threading.Event()
    with pytest.raises(TimeIsUp):
        Deadline(0.05).call(never.wait)
    never.set()

    def late() -> None:
        raise TimeoutError("the server's")

    with pytest.raises(TimeoutError, match="the server's"):
        Deadline(3600.0).call(late)
    with pytest.raises(TimeIsUp):
        Deadline(0.0).remaining()
