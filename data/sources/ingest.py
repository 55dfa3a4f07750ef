"""Reads one shard's documents from every source into Parquet, with an account of each file and record.

Each file of the shard, and each of its records in files that hold many, is a row of documents.parquet or of quarantine.parquet. Rows are
ordered by id, and the output is the same bytes on every machine, for any threads and memory; it has no absolute paths and no times.
A damaged file costs itself alone. What is read is what the key was computed from: a local file that has changed since, and anything the
recipe names that is missing, is a SourceError. A shard may be empty; `empty_sources` checks that no source is.

Costs one pass over the shard's single-document files and over every archive and file of records; of those, records of other shards are
skipped unparsed where their number identifies them. Memory holds one document at a time; texts wait under `scratch`.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from data.conversations.shapes.registry import Shape
from data.documents.sharding import CorpusShard
from data.sources.archives.archive import matches_globs
from data.sources.config import FilesSource, IngestConfig, ManifestSource, PackageSource, RemoteSource, SourceConfig
from data.sources.conversation_config import ConversationSourceBase
from data.sources.document_store import DocumentStore, SourceText
from data.sources.errors import HostileArchive, SourceError, Unreadable
from data.sources.extraction import Extractor
from data.sources.fetching.manifest import shard_entries
from data.sources.fetching.pinned import fetch_entries, fetch_pinned
from data.sources.files import observed_name, shard_files
from data.sources.formats import type_from_name
from data.sources.hash_cache import cached_sha256, file_state
from data.sources.readers.parsing.record import ReaderOptions
from data.sources.sandbox.parser_sandbox import ParserSandbox
from data.sources.work_grouping import WorkGrouping
from data.synthetic.config import SyntheticSource
from data.synthetic.text_table import read_texts
from data.universe.config import UniverseSource

UNREADABLE = "unreadable"


@dataclass(frozen=True)
class IngestInputs:
    """Where sources are read from.

    `root`: where relative paths begin; `cache`: where fetched archives are kept; `universe`: the folder of generated books; `observed`:
    what `source_state` returned for the shard (None: not checked); `synthetic`: the folder of synthetic texts."""

    root: Path
    cache: Path
    universe: Path | None = None
    observed: Mapping[str, str] | None = None
    synthetic: Path | None = None


def ingest(
    config: IngestConfig, output: Path, inputs: IngestInputs, shard: CorpusShard | None = None, *, threads: int, memory: str, scratch: Path
) -> dict[str, float]:
    """Write documents.parquet, quarantine.parquet and ledger.parquet of a shard (None: of the whole corpus) into `output`.

    `memory` is DuckDB's limit, such as "2GB". Return documents, quarantined (files and records), characters, bytes (of the texts in UTF-8),
    joined_parts (files that became part of a work) and documents.<source> for each source. Raise SourceError and HostileArchive."""
    output.mkdir(parents=True, exist_ok=True)
    scratch.mkdir(parents=True, exist_ok=True)
    fetched = fetch_pinned(config.sources, inputs.cache)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="reading-") as folder, ParserSandbox() as sandbox:
        store = DocumentStore(Path(folder), 1 if shard is None else shard.count, frozenset(config.without))
        try:
            for source in config.sources:
                works = WorkGrouping(source.label, getattr(source, "join", None), shard, frozenset(config.without))
                extractor = _extractor(source, works, store, sandbox, config, Path(folder))
                _read_source(source, extractor, inputs, fetched)
                store.exclude(works.excluded_here)
            counts = store.write(output, threads=threads, memory=memory, scratch=Path(folder))
        finally:
            store.close()
    return counts | {f"documents.{source.label}": float(store.documents[source.label]) for source in config.sources}


def _extractor(
    source: SourceConfig, works: WorkGrouping, store: DocumentStore, sandbox: ParserSandbox, config: IngestConfig, scratch: Path
) -> Extractor:
    limit = config.max_file_megabytes << 20
    if isinstance(source, UniverseSource | SyntheticSource):
        return Extractor(works, store, sandbox, ReaderOptions(limit=limit), ("txt",), scratch)
    shape: Shape | Literal[""] = source.shape if isinstance(source, ConversationSourceBase) else ""
    options = ReaderOptions(source.encoding, source.text_field, source.id_field, source.title_field, limit, whole=bool(shape))
    strict = isinstance(source, PackageSource)
    return Extractor(works, store, sandbox, options, source.formats, scratch, strict=strict, depth=config.archive_depth, shape=shape)


def _read_source(source: SourceConfig, extractor: Extractor, inputs: IngestInputs, fetched: Mapping[str, Path]) -> None:
    """Add everything that a source holds of the shard to the store. `fetched`: the files of pinned sources by label."""
    if isinstance(source, PackageSource):
        _read_package(source, extractor, fetched[source.label])
    elif isinstance(source, RemoteSource):
        extractor.read_path(source.file, fetched[source.label])
    elif isinstance(source, ManifestSource):
        _read_listed(source, extractor, inputs)
    elif isinstance(source, FilesSource):
        _read_files(extractor, *shard_files(source, inputs.root, extractor.works), inputs.observed)
    elif isinstance(source, SyntheticSource):
        if inputs.synthetic is None:
            raise SourceError("a source of kind synthetic is read from texts already written; pass the folder as stage synthesize makes it")
        for path, maker, text in read_texts(inputs.synthetic, extractor.works.includes_file):
            extractor.store.add(SourceText(source.label, path, path, "record", text, "txt", maker=maker))
    elif inputs.universe is None:
        raise SourceError("a source of kind universe is read from its generated books; pass the folder that stage universe made")
    else:
        books = {f"books/{path.name}": path for path in inputs.universe.glob("*.txt")}
        _read_files(extractor, {name: path for name, path in sorted(books.items()) if extractor.works.includes_file(name)}, {}, None)


def _read_package(source: PackageSource, extractor: Extractor, archive: Path) -> None:
    try:
        extractor.read_archive(archive, lambda name: matches_globs(name, source.include, source.exclude))
    except HostileArchive as error:
        raise HostileArchive(f"{archive.name}: {error}") from error
    except Unreadable as error:
        raise SourceError(f"{archive.name} is damaged ({error}); delete it from the cache, and it is fetched again") from error


def _read_listed(source: ManifestSource, extractor: Extractor, inputs: IngestInputs) -> None:
    """Read the files that a manifest lists. Raise SourceError where the list differs from what was observed."""
    listed = shard_entries(source, inputs.root, extractor.works)
    states = {observed_name(source.label, name): entry.state for name, entry in listed.items()}
    if inputs.observed is not None and (changed := sorted(states.items() ^ _observed(source.label, inputs.observed).items())):
        raise _changed(changed[0][0])
    for name, path in fetch_entries(source, listed, inputs.cache).items():
        replace(extractor, licence=listed[name].licence).read_path(name, path)


def _observed(source: str, observed: Mapping[str, str]) -> dict[str, str]:
    """Return what was observed of a source."""
    prefix = observed_name(source, "")
    return {name: state for name, state in observed.items() if name.startswith(prefix)}


def _read_files(extractor: Extractor, files: Mapping[str, Path], faults: Mapping[str, str], observed: Mapping[str, str] | None) -> None:
    """Read `files` and quarantine what has a fault. Raise SourceError where either differs from what was observed."""
    names = {observed_name(extractor.works.source, name): name for name in (*files, *faults)}
    known = {} if observed is None else _observed(extractor.works.source, observed)
    if observed is not None and (differing := sorted(names.keys() ^ known.keys())):
        raise _changed(differing[0])
    for observed_as, name in names.items():
        expected = known.get(observed_as)
        if name in faults:
            if expected not in (None, faults[name]):
                raise _changed(observed_as)
            extractor.quarantine(name, faults[name])
        elif expected is not None and expected.startswith(UNREADABLE):
            extractor.quarantine(name, expected)
        elif type_from_name(name).may_hold_many:
            _read_many(extractor, name, files[name], observed_as, expected)
        else:
            _read_single(extractor, name, files[name], observed_as, expected)


def _read_many(extractor: Extractor, name: str, path: Path, observed_as: str, expected: str | None) -> None:
    """Read a file of records or an archive. Raise SourceError if its digest isn't `expected` or it changes while it is read."""
    try:
        before = file_state(path)
        if expected is not None and expected != cached_sha256(path):
            raise _changed(observed_as)
        extractor.read_path(name, path)
        if file_state(path) != before:
            raise _changed(observed_as)
    except OSError as error:
        if expected is not None:
            raise _changed(observed_as) from error
        extractor.quarantine(name, f"{UNREADABLE}: {error.strerror}")


def _read_single(extractor: Extractor, name: str, path: Path, observed_as: str, expected: str | None) -> None:
    """Read a file that is one document. Raise SourceError if the bytes read don't have the digest `expected`."""
    limit = extractor.options.limit
    try:
        with path.open("rb") as stream:
            content = stream.read(limit + 1)
            digest, size = hashlib.sha256(content), len(content)
            while block := stream.read(1 << 20):
                digest.update(block)
                size += len(block)
    except OSError as error:
        if expected is not None:
            raise _changed(observed_as) from error
        extractor.quarantine(name, f"{UNREADABLE}: {error.strerror}")
        return
    if expected not in (None, digest.hexdigest()):
        raise _changed(observed_as)
    if size > limit:
        extractor.quarantine(name, f"too large: {size} bytes, the limit is {limit}")
    else:
        extractor.read_content(name, content)


def _changed(observed_as: str) -> SourceError:
    return SourceError(
        f"{observed_as} changed after this run began, so its key describes another text; nothing was kept. Start the run again"
    )
