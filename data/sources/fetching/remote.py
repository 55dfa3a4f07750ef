"""Fetches a pinned file from a URL through fsspec, once.

The returned file has the pinned sha256, which is compared before anything reads it. A download stops when it passes the recipe's limit, and
only complete files enter the cache. Credentials, proxies and certificates are those that fsspec's drivers find in the environment; none is
in the recipe.

Costs one download. A cached file with the right sha256 is used as it is, so a run needs no network once the cache is filled, by a run or by
hand. A process fetches one file at a time, and each file once, however many shards ask.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from threading import Lock
from typing import Any

from data.sources.config import RemoteSource
from data.sources.errors import SourceError
from data.sources.fetching.urls import CREDENTIALS, storage_scheme
from data.sources.hash_cache import cached_sha256

BLOCK = 1 << 20
EXTRAS = {"s3": "s3", "gs": "gs", "az": "az"}

_fetch_lock = Lock()


def fetch_remote(source: RemoteSource, cache: Path) -> Path:
    """Return the file's path inside `cache`. Raise SourceError if it can't be fetched or its sha256 differs."""
    target = cache / f"{source.sha256[:16]}-{source.file}"
    with _fetch_lock:
        if target.is_file() and cached_sha256(target) == source.sha256:
            return target
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as folder:
            fetched = Path(folder) / "file"
            actual = _download(source, fetched, target)
            if actual != source.sha256:
                raise SourceError(
                    f"{source.url}: expected sha256 {source.sha256}, got {actual}. The file was not read. If the new content is what you "
                    "want, put this sha256 into the recipe; otherwise check the address"
                )
            fetched.replace(target)
    return target


def _download(source: RemoteSource, file: Path, target: Path) -> str:
    """Save the content of the URL in `file` and return its sha256. `target`: where a user can put it by hand, for errors."""
    limit, size, digest = source.max_megabytes << 20, 0, hashlib.sha256()
    try:
        with _open(source.url) as stream, file.open("wb") as output:
            while block := stream.read(BLOCK):
                size += len(block)
                if size > limit:
                    break
                digest.update(block)
                output.write(block)
    except ImportError as error:
        extra = EXTRAS.get(storage_scheme(source.url))
        way = f"pip install 'folio[{extra}]'" if extra else f"install the driver that fsspec names ({error})"
        raise SourceError(f"{source.url}: its driver is not installed; {way}, or put the file at {target} by hand") from error
    except Exception as error:
        # Each driver raises errors of its own network library.
        where = CREDENTIALS.get(storage_scheme(source.url), "the environment that its driver reads")
        raise SourceError(
            f"{source.url} could not be fetched: {type(error).__name__}: {error}. Check the address, the network and the credentials "
            f"({where}), or put the file (sha256 {source.sha256}) at {target} by hand"
        ) from error
    if size > limit:
        raise SourceError(f"{source.url} is larger than {source.max_megabytes} MB; raise `max_megabytes` if it should be. Nothing was kept")
    return digest.hexdigest()


def _open(url: str) -> Any:
    import fsspec

    # aiohttp reads proxies and ~/.netrc only with trust_env.
    options: dict[str, Any] = {"client_kwargs": {"trust_env": True}, "block_size": 0} if storage_scheme(url) == "http" else {}
    return fsspec.open(url, "rb", **options)
