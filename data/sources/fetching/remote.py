"""Fetches a pinned file from a URL through fsspec, once.

The returned file has the pinned sha256, which is compared before anything reads it. A download stops when it passes the recipe's limit, and
only complete files enter the cache. A read that brings nothing for STALLED seconds, a cut or a server's error is tried again up to ATTEMPTS
times in a row, from the byte reached; what was fetched before a run was killed is not fetched again. A file that isn't pinned yet goes on
only behind bytes of the same version, as its ETag or date says, and else from its beginning. After `max_hours` in all a download
ends, even where bytes still drip in; the next run goes on from there. Credentials, proxies and certificates are those that fsspec's drivers
find in the environment; none is in the recipe.

Costs one download and one pass to compare it. A cached file with the right sha256 is used as it is, so a run needs no network once the
cache is filled, by a run or by hand. Processes that want one file at the same time fetch it once; different files are fetched at once."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import IO, Any, TypeVar

from data.shards.durable import exclusive, file_digest
from data.sources.config import RemoteSource
from data.sources.errors import SourceError
from data.sources.fetching.urls import CREDENTIALS, storage_scheme
from data.sources.hash_cache import cached_sha256

T = TypeVar("T")


class TimeIsUp(Exception):
    """The deadline has passed."""


class Deadline:
    """`seconds` from now."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Return the seconds that are left. Raise TimeIsUp if none are."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeIsUp
        return left

    def call(self, work: Callable[[], T]) -> T:
        """Return what `work` returns or raise what it raises. Raise TimeIsUp at the deadline; the call is then left to end by itself."""
        left = self.remaining()
        answer: Future[T] = Future()
        # A daemon, since a thread that still waits for a server must not keep the process alive.
        Thread(target=_settle, args=(answer, work), daemon=True).start()
        try:
            return answer.result(left)
        except TimeoutError as error:
            # A driver's own TimeoutError is an answer.
            if answer.done():
                raise
            raise TimeIsUp from error


def _settle(answer: Future[T], work: Callable[[], T]) -> None:
    try:
        answer.set_result(work())
    except BaseException as error:  # noqa: BLE001  # the caller's, whatever it is
        answer.set_exception(error)


BLOCK = 1 << 20
EXTRAS = {"s3": "s3", "gs": "gs", "az": "az"}

ATTEMPTS, PAUSE, LONGEST_PAUSE = 6, 0.5, 30.0
CONNECTING, STALLED = 60.0, 120.0
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})  # HTTP statuses that may be another one a moment later


def fetch_remote(source: RemoteSource, cache: Path) -> Path:
    """Return the file's path inside `cache`. Raise SourceError if it can't be fetched or its sha256 differs."""
    target = cache / f"{source.sha256[:16]}-{source.file}"
    cache.mkdir(parents=True, exist_ok=True)
    with exclusive(cache / f".{target.name}.lock"):
        if target.is_file() and cached_sha256(target) == source.sha256:
            return target
        partial = cache / f".{target.name}.partial"
        resumed = partial.exists()
        deadline = Deadline(source.max_hours * 3600)
        actual = _download(source, partial, target, deadline)
        if actual != source.sha256 and resumed:
            # What an earlier run left may be the beginning of another version.
            actual = _download(source, partial, target, deadline)
        if actual != source.sha256:
            raise SourceError(
                f"{source.url}: expected sha256 {source.sha256}, got {actual}. The file was not read. If the new content is what you "
                "want, put this sha256 into the recipe; otherwise check the address"
            )
        partial.replace(target)
    return target


def pin_remote(url: str, cache: Path, max_megabytes: int, max_hours: float) -> RemoteSource:
    """Fetch a file whose sha256 is not known yet into `cache`; return it as a source that pins what was fetched.

    Raise SourceError if it can't be fetched."""
    source = RemoteSource(url=url, sha256="0" * 64, max_megabytes=max_megabytes, max_hours=max_hours)
    cache.mkdir(parents=True, exist_ok=True)
    partial = cache / f".pin-{hashlib.sha256(url.encode()).hexdigest()[:16]}-{source.file}.partial"
    with exclusive(partial.with_suffix(".lock")):
        # Nothing says whether what an earlier attempt left is the beginning of the same file.
        partial.unlink(missing_ok=True)
        _save(source, partial, None, Deadline(max_hours * 3600))
        pinned = source.model_copy(update={"sha256": file_digest(partial)})
        partial.replace(cache / f"{pinned.sha256[:16]}-{pinned.file}")
    return pinned


def _download(source: RemoteSource, partial: Path, target: Path, deadline: Deadline) -> str:
    """Download the URL to `partial`, resuming after the bytes already there, and return its sha256; leave no other content there."""
    _save(source, partial, target, deadline)
    actual = file_digest(partial)
    if actual != source.sha256:
        partial.unlink()
    return actual


def _save(source: RemoteSource, partial: Path, target: Path | None, deadline: Deadline) -> None:
    """Save the content of the URL in `partial`, behind what is there. Raise SourceError if it can't be fetched or is too large.

    `target`: where a user can put it by hand, for errors; None for a file that isn't pinned yet, which has to be fetched whole again."""
    limit = source.max_megabytes << 20
    by_hand = f", or put the file (sha256 {source.sha256}) at {target} by hand" if target else ""
    try:
        _download_whole(source.url, partial, limit, deadline, None if target else _Version())
    except ImportError as error:
        extra = EXTRAS.get(storage_scheme(source.url))
        way = f"pip install -e '.[{extra}]'" if extra else f"install the driver that fsspec names ({error})"
        raise SourceError(f"{source.url}: its driver is not installed; {way}{by_hand}") from error
    except TimeIsUp as error:
        raise SourceError(
            f"{source.url} took longer than max_hours={source.max_hours:g} in all.{_kept(partial) if target else ''} Raise "
            f"`max_hours`{by_hand}"
        ) from error
    except Exception as error:
        # Each driver raises errors of its own network library.
        where = CREDENTIALS.get(storage_scheme(source.url), "the environment that its driver reads")
        raise SourceError(
            f"{source.url} could not be fetched: {type(error).__name__}: {error}.{_kept(partial) if target else ''} Check the address, the "
            f"network and the credentials ({where}){by_hand}"
        ) from error
    if partial.stat().st_size > limit:
        partial.unlink()
        raise SourceError(f"{source.url} is larger than {source.max_megabytes} MB; raise `max_megabytes` if it should be. Nothing was kept")


def _kept(partial: Path) -> str:
    return f" {partial.stat().st_size} bytes are kept, and the next run goes on from there." if partial.is_file() else ""


@dataclass
class _Version:
    """The version of a file that is being fetched: an ETag, a date; "": nothing tells it."""

    mark: str = ""


def _download_whole(url: str, partial: Path, limit: int, deadline: Deadline, version: _Version | None) -> None:
    """Append to `partial` until the content ends or passes the limit. `version`: None if a digest will tell whether it is one.

    Raise the driver's error after ATTEMPTS that brought nothing, and TimeIsUp at the deadline."""
    failed = 0
    while True:
        before = partial.stat().st_size if partial.exists() else 0
        try:
            _append(url, partial, before, limit, deadline, version)
            return
        except TimeIsUp:
            raise
        except Exception as error:
            brought = partial.exists() and partial.stat().st_size > before
            failed = 1 if brought else failed + 1
            if not _is_transient(error) or failed >= ATTEMPTS:
                raise
            time.sleep(min(PAUSE * 2 ** (failed - 1), LONGEST_PAUSE, deadline.remaining()))


def _append(url: str, partial: Path, start: int, limit: int, deadline: Deadline, version: _Version | None) -> None:
    try:
        opened = deadline.call(lambda: _open(url, start, version))
    except Exception as error:
        if getattr(error, "status", None) != 416:
            raise
        # There is nothing behind the last byte: the file was complete, if it is still of that size.
        stated = str((getattr(error, "headers", None) or {}).get("Content-Range", "")).rpartition("/")[2]
        if version is None or stated == str(start):
            return
        opened = deadline.call(lambda: _open(url, 0, version))
    with opened as (stream, reached), partial.open("r+b" if partial.exists() else "wb") as output:
        output.seek(reached)
        output.truncate()
        size = reached
        # A read may bring a byte at a time for ever, so each is waited for only until the deadline.
        try:
            while size <= limit and (block := deadline.call(lambda: stream.read(BLOCK))):
                output.write(block)
                size += len(block)
        except TimeIsUp:
            raise
        except Exception:
            output.write(_arrived(stream))
            raise


def _arrived(stream: Any) -> bytes:
    """Return the bytes that came before a connection was cut: aiohttp raises without handing them out, so every attempt might lose all."""
    content = getattr(getattr(stream, "r", None), "content", None)
    return bytes(content._read_nowait(-1)) if content is not None and hasattr(content, "_read_nowait") else b""


def _open(url: str, start: int, version: _Version | None) -> AbstractContextManager[tuple[IO[bytes], int]]:
    """Open the content from a byte: the stream and where it begins, which is at 0 where the server knows no ranges, or no such version."""
    import fsspec

    if storage_scheme(url) != "http":
        filesystem, path = fsspec.core.url_to_fs(url)
        mark = str(filesystem.ukey(path)) if version else ""
        reached = min(start, filesystem.size(path) or 0) if version is None or version.mark == mark else 0
        if version:
            version.mark = mark
        stream = filesystem.open(path, "rb")
        stream.seek(reached)
        return _closing(stream, reached)
    filesystem = http_filesystem()
    # Compressed transfer would count other bytes than the file's.
    headers = {"Accept-Encoding": "identity"}
    if start and (version is None or version.mark):
        headers |= {"Range": f"bytes={start}-"} | ({"If-Range": version.mark} if version else {})
    # Given any size, fsspec asks for none, which would cost two requests.
    stream = filesystem.open(url, "rb", block_size=0, size=1, headers=headers)
    reached = start if "Range" in headers and stream.r.status == 206 else 0
    if version:
        tag = stream.r.headers.get("ETag", "")
        # A weak tag promises the same meaning, not the same bytes.
        mark = tag if tag and not tag.startswith("W/") else stream.r.headers.get("Last-Modified", "")
        if reached and mark != version.mark:
            stream.close()
            return _open(url, 0, version)
        version.mark = mark
    return _closing(stream, reached)


def http_filesystem() -> Any:
    """Return fsspec's filesystem for web servers."""
    import fsspec
    from aiohttp import ClientTimeout

    # aiohttp reads proxies and ~/.netrc only with trust_env, and ends every download after five minutes unless told otherwise.
    timeout = ClientTimeout(total=None, sock_connect=CONNECTING, sock_read=STALLED)
    return fsspec.filesystem("http", client_kwargs={"trust_env": True, "timeout": timeout})


@contextmanager
def _closing(stream: Any, reached: int) -> Iterator[tuple[IO[bytes], int]]:
    try:
        yield stream, reached
    finally:
        stream.close()


def _is_transient(error: Exception) -> bool:
    """Return whether another attempt may succeed."""
    from aiohttp import ClientError

    status = getattr(error, "status", None)
    if isinstance(status, int) and status >= 400:
        return status in TRANSIENT
    return isinstance(error, (OSError, TimeoutError, ClientError)) and not isinstance(
        error, (FileNotFoundError, PermissionError, IsADirectoryError, ValueError)
    )
