"""Reads the documents of one shard from every source into one Parquet, with an account of each file and record.

Guarantees: each file of the shard's works, and each of its records in files that hold many, is a row of documents.parquet or of
quarantine.parquet, never of neither; rows are ordered by id; the outputs hold no absolute path and no time, and are the same bytes on every
machine, whatever its threads and memory. A bad file costs itself alone: it is quarantined with its reason. What is read is what the key was
computed from: a local file that changed since is a SourceError that names it, as is what the recipe asks for and isn't there. A shard may
be empty; `silence` tells when a source is.
Costs one pass over the files that are one document each and belong to the shard, and one over every file of records and archive, of which
only the shard's records are parsed where their place tells. Memory holds one document at a time; texts wait under `scratch`.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from data.documents.sharding import CorpusShard
from data.sources.archive import selected
from data.sources.config import FilesSource, IngestConfig, PackageSource, RemoteSource, SourceConfig
from data.sources.document_store import Piece, Shelf
from data.sources.errors import HostileArchive, SourceError, Unreadable
from data.sources.files import find_files, observed_as
from data.sources.formats import named
from data.sources.hash_cache import known_sha256, state_of
from data.sources.opening import Opener
from data.sources.package import fetch_package
from data.sources.readers.record import Options
from data.sources.remote import fetch_remote
from data.sources.sandbox.parser_sandbox import Apart
from data.sources.work_grouping import Works
from data.synthetic.config import SyntheticSource
from data.synthetic.write import read_texts
from data.universe.config import UniverseSource

UNREADABLE = "unreadable"


@dataclass(frozen=True)
class IngestInputs:
    """What sources are read from: where relative paths begin, where archives are kept, the folder of generated books, what
    `source_state` observed of the shard (None: nobody looked), and the folder of what a machine wrote."""

    root: Path
    cache: Path
    universe: Path | None = None
    observed: Mapping[str, str] | None = None
    synthetic: Path | None = None


def ingest(
    config: IngestConfig, output: Path, around: IngestInputs, shard: CorpusShard | None = None, *, threads: int, memory: str, scratch: Path
) -> dict[str, float]:
    """Writes documents.parquet, quarantine.parquet and ledger.parquet of a shard (None: of the whole corpus) into `output`.

    `memory`: DuckDB's limit, such as "2GB". `scratch`: where texts wait; created when missing. Returns documents, quarantined (files and
    records), characters, bytes (of the texts in UTF-8), joined_parts (files that became part of a work), and documents.<source> for each
    source. Raises SourceError (see the module) and HostileArchive."""
    output.mkdir(parents=True, exist_ok=True)
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="reading-") as folder, Apart() as apart:
        shelf = Shelf(Path(folder), 1 if shard is None else shard.count)
        try:
            for source in config.sources:
                works = Works(source.label, getattr(source, "join", None), shard, frozenset(config.without))
                _read(source, _opener(source, works, shelf, apart, config.max_file_megabytes << 20, Path(folder)), around)
                shelf.leave_out(works.left_out)
            counts = shelf.write(output, threads=threads, memory=memory, scratch=Path(folder))
        finally:
            shelf.close()
    return counts | {f"documents.{source.label}": float(shelf.documents[source.label]) for source in config.sources}


def _opener(source: SourceConfig, works: Works, shelf: Shelf, apart: Apart, limit: int, scratch: Path) -> Opener:
    if isinstance(source, UniverseSource | SyntheticSource):
        return Opener(works, shelf, apart, Options(limit=limit), ("txt",), scratch)
    options = Options(source.encoding, source.text_field, source.id_field, source.title_field, limit)
    return Opener(works, shelf, apart, options, source.formats, scratch, strict=isinstance(source, PackageSource))


def _read(source: SourceConfig, opener: Opener, around: IngestInputs) -> None:
    """Put all that a source holds of the shard on the shelf."""
    if isinstance(source, PackageSource):
        _read_package(source, opener, fetch_package(source, around.cache))
    elif isinstance(source, RemoteSource):
        opener.read_path(source.file, fetch_remote(source, around.cache))
    elif isinstance(source, FilesSource):
        _read_files(opener, find_files(source, around.root, opener.works), around.observed)
    elif isinstance(source, SyntheticSource):
        if around.synthetic is None:
            raise SourceError("a source of kind synthetic is read from what a machine wrote; give its folder, as stage synthesize makes it")
        for path, maker, text in read_texts(around.synthetic, opener.works.hold):
            opener.shelf.take(Piece(source.label, path, path, "record", text, "txt", maker=maker))
    elif around.universe is None:
        raise SourceError("a source of kind universe is read from its generated books; give their folder, as stage universe makes it")
    else:
        books = {f"books/{path.name}": path for path in around.universe.glob("*.txt")}
        _read_files(opener, {name: path for name, path in sorted(books.items()) if opener.works.hold(name)}, None)


def _read_package(source: PackageSource, opener: Opener, archive: Path) -> None:
    try:
        opener.read_archive(archive, lambda name: selected(name, source.include, source.exclude))
    except HostileArchive as error:
        raise HostileArchive(f"{archive.name}: {error}") from error
    except Unreadable as error:
        raise SourceError(f"{archive.name} is no sound archive ({error}); delete it from the cache so that it is fetched anew") from error


def _read_files(opener: Opener, files: Mapping[str, Path], observed: Mapping[str, str] | None) -> None:
    names = {observed_as(opener.works.source, name): name for name in files}
    within = observed_as(opener.works.source, "")
    known = {} if observed is None else {name: state for name, state in observed.items() if name.startswith(within)}
    if observed is not None and (differing := sorted(names.keys() ^ known.keys())):
        raise _changed(differing[0])
    for seen_as, name in names.items():
        expected = known.get(seen_as)
        if expected is not None and expected.startswith(UNREADABLE):
            opener.put_aside(name, expected)
        elif named(name).many:
            _read_unmoved(opener, name, files[name], seen_as, expected)
        else:
            _read_one(opener, name, files[name], seen_as, expected)


def _read_unmoved(opener: Opener, name: str, path: Path, seen_as: str, expected: str | None) -> None:
    """Read a file of any size. Raises SourceError when it isn't that of the digest `expected`, or changes meanwhile."""
    try:
        before = state_of(path)
        if expected is not None and expected != known_sha256(path):
            raise _changed(seen_as)
        opener.read_path(name, path)
        if state_of(path) != before:
            raise _changed(seen_as)
    except OSError as error:
        if expected is not None:
            raise _changed(seen_as) from error
        opener.put_aside(name, f"{UNREADABLE}: {error.strerror}")


def _read_one(opener: Opener, name: str, path: Path, seen_as: str, expected: str | None) -> None:
    """Read a file that is one document. Raises SourceError when its bytes are not those that have the digest `expected`."""
    limit = opener.options.limit
    try:
        with path.open("rb") as stream:
            content = stream.read(limit + 1)
            digest, size = hashlib.sha256(content), len(content)
            while block := stream.read(1 << 20):
                digest.update(block)
                size += len(block)
    except OSError as error:
        if expected is not None:
            raise _changed(seen_as) from error
        opener.put_aside(name, f"{UNREADABLE}: {error.strerror}")
        return
    if expected not in (None, digest.hexdigest()):
        raise _changed(seen_as)
    if size > limit:
        opener.put_aside(name, f"too large: {size} bytes, the limit is {limit}")
    else:
        opener.read_content(name, content)


def _changed(seen_as: str) -> SourceError:
    return SourceError(
        f"{seen_as} changed after this run began, so its key would tell of another text; nothing was kept. Start the run again"
    )
