"""Pins everything below a URL, as lines of a manifest: what a recipe reads never depends on what lies there later.

Each file is fetched once, into the cache that runs read from. An http server is asked for its index pages, an object store for its listing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote

from data.sources.errors import SourceError
from data.sources.fetching.manifest import Entry
from data.sources.fetching.pinned import several_at_once
from data.sources.fetching.remote import Deadline, TimeIsUp, http_filesystem, pin_remote
from data.sources.fetching.urls import reject_secrets, storage_scheme
from data.sources.formats import matches_formats

MOST = 100_000  # files below one URL


def pin_prefix(
    url: str, cache: Path, formats: Sequence[str], max_megabytes: int, max_hours: float, pinned: Mapping[str, Entry] = MappingProxyType({})
) -> Iterator[Entry]:
    """Yield the files below `url` whose names end like one of `formats`, or are archives, in order of name, each fetched into `cache`.

    `max_megabytes`, `max_hours`: of each file, and for the listing; `pinned`: URL -> file that is known and not fetched. Raise SourceError
    if nothing is there or a file can't be fetched, and ValueError for a URL that a recipe couldn't hold.
    """
    reject_secrets(url)
    try:
        found = dict(sorted(Deadline(max_hours * 3600).call(partial(_listed, url)).items()))
    except TimeIsUp as error:
        raise SourceError(f"{url} could not be listed in max_hours={max_hours:g}; raise it") from error
    except Exception as error:
        # Each driver raises errors of its own network library.
        raise SourceError(f"{url} could not be listed: {type(error).__name__}: {error}. Check the address and the network") from error
    chosen = [one for one, name in found.items() if not name or matches_formats(name, tuple(formats))]
    if not chosen:
        raise SourceError(f"{url} holds {len(found)} files, none of which ends like one of {', '.join(formats)}")
    if len(chosen) > MOST:
        raise SourceError(f"{url} holds {len(chosen)} files, more than {MOST}; pin one folder at a time")
    with several_at_once() as pool:
        digests = pool.map(lambda one: (pinned.get(one) or pin_remote(one, cache, max_megabytes, max_hours)).sha256, chosen)
        for one, digest in zip(chosen, digests, strict=True):
            yield Entry(url=one, sha256=digest, name=found[one])


def _listed(url: str) -> dict[str, str]:
    """Return {URL: path below the one given} of all files; the path is "" where that URL is a file."""
    import fsspec

    if storage_scheme(url) == "http":
        # What an index page links to can lie elsewhere, or be the page itself under a query.
        below = [one for one in http_filesystem().find(url) if one.startswith(url) and "?" not in one and not one.endswith("/")]
        return {one: unquote(one.removeprefix(url).lstrip("/")) for one in below}
    filesystem, path = fsspec.core.url_to_fs(url)
    names = [one.removeprefix(path).lstrip("/") for one in filesystem.find(path)]
    return {f"{url.rstrip('/')}/{name}" if name else url: name for name in names}
