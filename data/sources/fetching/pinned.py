"""Fetches the pinned files of sources, several at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from data.sources.config import ManifestSource, PackageSource, RemoteSource, SourceConfig
from data.sources.fetching.manifest import Entry
from data.sources.fetching.package import fetch_package
from data.sources.fetching.remote import fetch_remote

AT_ONCE = 4


@contextmanager
def several_at_once() -> Iterator[ThreadPoolExecutor]:
    """Give threads for downloads. After an error, or Ctrl-C, no more are begun."""
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def fetch_pinned(sources: Sequence[SourceConfig], cache: Path) -> dict[str, Path]:
    """Return {label: file} of the sources that are fetched. Raise SourceError for the first, in order, that can't be."""
    pinned = [source for source in sources if isinstance(source, PackageSource | RemoteSource)]
    with several_at_once() as pool:
        files = [pool.submit(_fetch, source, cache) for source in pinned]
        return {source.label: file.result() for source, file in zip(pinned, files, strict=True)}


def fetch_entries(source: ManifestSource, entries: Mapping[str, Entry], cache: Path) -> dict[str, Path]:
    """Return {name: file} of the files that a manifest lists. Raise SourceError for the first, in order, that can't be fetched."""
    with several_at_once() as pool:
        files = {name: pool.submit(fetch_remote, entry.pinned(source), cache) for name, entry in entries.items()}
        return {name: file.result() for name, file in files.items()}


def _fetch(source: PackageSource | RemoteSource, cache: Path) -> Path:
    return fetch_package(source, cache) if isinstance(source, PackageSource) else fetch_remote(source, cache)
