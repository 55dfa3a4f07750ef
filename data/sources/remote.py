"""Fetches a pinned file from an address through fsspec, once.

Guarantees: the returned file has the asked sha256, which is compared before anything reads it; a download is stopped when it passes the
size that the recipe allows; a file is in the cache whole or not at all. Credentials, proxies and certificates are those that fsspec's
drivers find in the environment; none stands in the recipe.
Costs one download; a file in the cache with the right sha256 is not fetched again, so a run without a network works once the cache is
filled, by a run or by hand. A process fetches one file at a time, and each once, however many shards ask.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from threading import Lock
from typing import Any

from data.sources.address import CREDENTIALS, family
from data.sources.config import RemoteSource
from data.sources.errors import SourceError
from data.sources.hash_cache import known_sha256

BLOCK = 1 << 20
EXTRAS = {"s3": "s3", "gs": "gs", "az": "az"}

_one_at_a_time = Lock()


def fetch_remote(source: RemoteSource, cache: Path) -> Path:
    """The file inside `cache`. Raises SourceError when it can't be had or is another."""
    kept = cache / f"{source.sha256[:16]}-{source.file}"
    with _one_at_a_time:
        if kept.is_file() and known_sha256(kept) == source.sha256:
            return kept
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as folder:
            fetched = Path(folder) / "file"
            got = _download(source, fetched, kept)
            if got != source.sha256:
                raise SourceError(
                    f"{source.url}: expected sha256 {source.sha256}, got {got}. The file was not read. If the new content is what you "
                    "want, put this sha256 into the recipe; otherwise check the address"
                )
            fetched.replace(kept)
    return kept


def _download(source: RemoteSource, target: Path, kept: Path) -> str:
    """Save what lies at the address; returns its sha256. Raises SourceError."""
    limit, size, digest = source.max_megabytes << 20, 0, hashlib.sha256()
    try:
        with _opened(source.url) as stream, target.open("wb") as file:
            while block := stream.read(BLOCK):
                size += len(block)
                if size > limit:
                    break
                digest.update(block)
                file.write(block)
    except ImportError as error:
        extra = EXTRAS.get(family(source.url))
        way = f"pip install 'folio[{extra}]'" if extra else f"install the driver that fsspec names ({error})"
        raise SourceError(f"{source.url}: its driver is not installed; {way}, or put the file at {kept} by hand") from error
    except Exception as error:
        # Each driver has errors of its own, from its network library.
        where = CREDENTIALS.get(family(source.url), "the environment that its driver reads")
        raise SourceError(
            f"{source.url} could not be fetched: {type(error).__name__}: {error}. Check the address, the network and the credentials "
            f"({where}), or put the file (sha256 {source.sha256}) at {kept} by hand"
        ) from error
    if size > limit:
        raise SourceError(f"{source.url} is larger than {source.max_megabytes} MB; raise `max_megabytes` if it should be. Nothing was kept")
    return digest.hexdigest()


def _opened(url: str) -> Any:
    import fsspec

    # aiohttp reads proxies and ~/.netrc only when asked to.
    options: dict[str, Any] = {"client_kwargs": {"trust_env": True}, "block_size": 0} if family(url) == "http" else {}
    return fsspec.open(url, "rb", **options)
