"""Fetches the pinned files of sources, several at once.

Fetches a pinned package archive through pip, once, without installing it.

The returned file has the pinned sha256, and nothing of the package is executed, built or imported. Wheels come from `pip download --no-deps
--only-binary :all:`; source archives from `sdist.py` in a process of its own, because `pip download` would run the package's build code to
learn its metadata. Both use the index, mirror, proxy and certificates that pip is configured with.

Costs one download. A cached file with the right sha256 is used as it is, so a run needs no network once the cache is filled, by a run or by
hand; one with another sha256 is replaced. Processes that want one archive at the same time fetch it once; each hashes it once.

Pins everything below a URL, as lines of a manifest: what a recipe reads never depends on what lies there later.

Each file is fetched once, into the cache that runs read from. An http server is asked for its index pages, an object store for its listing.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote

from data.shards.durable import exclusive, file_digest
from data.sources.config import ManifestSource, PackageSource, RemoteSource, SourceConfig
from data.sources.errors import SourceError
from data.sources.fetching.manifest import Entry
from data.sources.fetching.remote import Deadline, TimeIsUp, fetch_remote, http_filesystem, pin_remote
from data.sources.fetching.urls import reject_secrets, storage_scheme
from data.sources.formats import matches_formats
from data.sources.hash_cache import cached_sha256


def fetch_package(source: PackageSource, cache: Path) -> Path:
    """Return the archive's path inside `cache`. Raise SourceError if pip can't deliver it or its sha256 differs."""
    target = cache / f"{source.package}-{source.version}.{source.archive}"
    cache.mkdir(parents=True, exist_ok=True)
    with exclusive(cache / f".{target.name}.lock"):
        for candidate in sorted({target, *cache.glob(f"{source.package}-{source.version}*")}):
            if candidate.is_file() and cached_sha256(candidate) == source.sha256:
                return candidate
        with tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as folder:
            fetched = _download(source, Path(folder), target)
            actual = file_digest(fetched)
            if actual != source.sha256:
                raise SourceError(
                    f"package {source.package}=={source.version} ({source.archive}): expected sha256 {source.sha256}, got {actual}. "
                    "The archive was not read. If the new content is what you want, put this sha256 into the recipe; "
                    "otherwise check the index pip uses"
                )
            fetched.replace(target)
        return target


def pin_wheel(package: str, version: str, cache: Path) -> PackageSource:
    """Fetch the wheel of a package whose sha256 is not known yet into `cache`; return it as a source that pins what was fetched.

    Raise SourceError if pip can't deliver it.
    """
    unpinned = PackageSource(package=package, version=version, sha256="0" * 64)
    target = cache / f"{package}-{version}.wheel"
    cache.mkdir(parents=True, exist_ok=True)
    with exclusive(cache / f".{target.name}.lock"):
        if not target.is_file():
            with tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as folder:
                _download(unpinned, Path(folder), target).replace(target)
        return unpinned.model_copy(update={"sha256": file_digest(target)})


def _download(source: PackageSource, folder: Path, target: Path) -> Path:
    requirement = f"{source.package}=={source.version}"
    if source.archive == "wheel":
        arguments = ["-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--dest", str(folder), requirement]
    else:
        arguments = [str(Path(__file__).with_name("sdist.py")), source.package, source.version, str(folder / "archive")]
    # PIP_* variables are passed on: pip's own configuration decides where packages come from.
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    files = sorted(path for path in folder.iterdir() if path.is_file())
    if done.returncode != 0 or len(files) != 1:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        cause = (
            "this version of pip lacks the internal methods that folio uses"
            if done.returncode == 3
            else (lines[-1] if lines else f"pip exited with status {done.returncode}")
        )
        raise SourceError(
            f"package {requirement} ({source.archive}) could not be fetched: {cause}. "
            f"Check the name, the version and the network, or put the archive (sha256 {source.sha256}) at {target} by hand"
        )
    return files[0]


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
