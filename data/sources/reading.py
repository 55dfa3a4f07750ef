"""Reads the files of one source that a shard reads, or that a group unpacks, into what they hold.

What is read is what the key was computed from: a local file that has changed since, or that has come or gone, is a SourceError.

Opens the archives and files of records of one group, once, and writes each shard its slice of what they hold.

Records come out as texts; a document inside an archive as its bytes, for its shard to read, so the work of reading is shared. A damaged
file costs itself alone, as it does in ingest. The output is the same bytes on every machine, for any threads and memory.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from data.conversations.shapes import Shape
from data.documents.sharding import CorpusShard
from data.sources.archives.archive import matches_globs
from data.sources.config import (
    CaptionedSource,
    ConversationSourceBase,
    IngestConfig,
    ManifestSource,
    PackageSource,
    PicturesSource,
    RemoteSource,
    SoundsSource,
    SourceConfig,
    TextSource,
)
from data.sources.errors import HostileArchive, SourceError, Unreadable
from data.sources.extraction import Extractor, Part
from data.sources.fetching.manifest import chosen_entries
from data.sources.fetching.pinned import fetch_entries, fetch_pinned
from data.sources.files import observed_name, survey
from data.sources.formats import type_from_name
from data.sources.hash_cache import cached_sha256, file_state
from data.sources.readers.record import ReaderOptions
from data.sources.sandbox.parser_sandbox import ParserSandbox
from data.sources.sharing import FileChoice, WorkGrouping, group_choice, opened_by, pinned_name
from data.sources.unpacked import Contents, SliceWriter
from data.synthetic.config import SyntheticSource
from data.universe.config import UniverseSource

UNREADABLE = "unreadable"


def extractor_for(
    source: SourceConfig, works: WorkGrouping, contents: Contents, sandbox: ParserSandbox, config: IngestConfig, scratch: Path
) -> Extractor:
    """Return what reads a source's files."""
    limit = config.max_file_megabytes << 20
    if isinstance(source, CaptionedSource):
        table = ReaderOptions("detect", source.caption_field, source.path_field, None, limit)
        if isinstance(source, PicturesSource):
            table = replace(table, most_pixels=source.max_megapixels * 1_000_000, most_frames=source.frames)
        elif isinstance(source, SoundsSource):
            table = replace(table, most_seconds=source.max_seconds)
        return Extractor(works, contents, sandbox, table, source.formats, scratch)
    if isinstance(source, UniverseSource | SyntheticSource):
        return Extractor(works, contents, sandbox, ReaderOptions(limit=limit), ("txt",), scratch)
    shape: Shape | Literal[""] = source.shape if isinstance(source, ConversationSourceBase) else ""
    fields = (source.encoding, source.text_field, source.id_field, source.title_field)
    options = ReaderOptions(*fields, limit, whole=bool(shape), pages=getattr(source, "pages", "auto"))
    strict = isinstance(source, PackageSource)
    return Extractor(works, contents, sandbox, options, source.formats, scratch, strict=strict, depth=config.archive_depth, shape=shape)


@dataclass(frozen=True)
class SourceReader:
    """Reads those of the sources' files that `chosen` names.

    `root`: where relative paths begin; `cache`: where fetched files are kept; `observed`: the state of the chosen files when the key was
    made (None: not checked); `fetched`: the files of pinned sources by label; `part`: what it reads of a file that shards and a group both
    open."""

    root: Path
    cache: Path
    observed: Mapping[str, str] | None
    fetched: Mapping[str, Path]
    part: Part = "all"

    def read(self, source: TextSource, extractor: Extractor, chosen: FileChoice, *, faults: bool) -> None:
        """Read the chosen files of a source. `faults`: quarantine what the shard can't read. Raise SourceError and HostileArchive."""
        if isinstance(source, PackageSource | RemoteSource):
            if not chosen(pinned_name(source), None):
                return
            if isinstance(source, PackageSource):
                _read_package(source, extractor, self.fetched[source.label], self._part_of(source, source.package))
            else:
                extractor.read_path(source.file, self.fetched[source.label], self._part_of(source, source.file))
        elif isinstance(source, ManifestSource):
            self._read_listed(source, extractor, chosen)
        else:
            found = survey(source, self.root)
            files = {name: path for name, path in found.files.items() if chosen(name, path)}
            unread = {name: fault for name, fault in found.faults.items() if extractor.works.includes_file(name)} if faults else {}
            read_files(extractor, files, unread, self.observed)

    def _read_listed(self, source: ManifestSource, extractor: Extractor, chosen: FileChoice) -> None:
        """Read the chosen files that a manifest lists. Raise SourceError where the list differs from what was observed."""
        listed = chosen_entries(source, self.root, chosen)
        states = {observed_name(source.label, name): entry.state for name, entry in listed.items()}
        if self.observed is not None and (other := sorted(states.items() ^ _observed(source.label, self.observed).items())):
            raise changed(other[0][0])
        for name, path in fetch_entries(source, listed, self.cache).items():
            replace(extractor, licence=listed[name].licence).read_path(name, path, self._part_of(source, name))

    def _part_of(self, source: TextSource, name: str) -> Part:
        return self.part if opened_by(source, name, None) == "both" else "all"


def _read_package(source: PackageSource, extractor: Extractor, archive: Path, part: Part) -> None:
    try:
        extractor.read_archive(archive, lambda name: matches_globs(name, source.include, source.exclude), part=part)
    except HostileArchive as error:
        raise HostileArchive(f"{archive.name}: {error}") from error
    except Unreadable as error:
        raise SourceError(f"{archive.name} is damaged ({error}); delete it from the cache, and it is fetched again") from error


def _observed(source: str, observed: Mapping[str, str]) -> dict[str, str]:
    """Return what was observed of a source."""
    prefix = observed_name(source, "")
    return {name: state for name, state in observed.items() if name.startswith(prefix)}


def read_files(extractor: Extractor, files: Mapping[str, Path], faults: Mapping[str, str], observed: Mapping[str, str] | None) -> None:
    """Read `files` and quarantine what has a fault. Raise SourceError where either differs from what was observed."""
    names = {observed_name(extractor.works.source, name): name for name in (*files, *faults)}
    known = {} if observed is None else _observed(extractor.works.source, observed)
    if observed is not None and (differing := sorted(names.keys() ^ known.keys())):
        raise changed(differing[0])
    for observed_as, name in names.items():
        expected = known.get(observed_as)
        if name in faults:
            if expected not in (None, faults[name]):
                raise changed(observed_as)
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
            raise changed(observed_as)
        extractor.read_path(name, path)
        if file_state(path) != before:
            raise changed(observed_as)
    except OSError as error:
        if expected is not None:
            raise changed(observed_as) from error
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
            raise changed(observed_as) from error
        extractor.quarantine(name, f"{UNREADABLE}: {error.strerror}")
        return
    if expected not in (None, digest.hexdigest()):
        raise changed(observed_as)
    if size > limit:
        extractor.quarantine(name, f"too large: {size} bytes, the limit is {limit}")
    else:
        extractor.read_content(name, content)


def changed(observed_as: str) -> SourceError:
    """Return the error of a file that differs from what was observed."""
    return SourceError(
        f"{observed_as} changed after this run began, so its key describes another text; nothing was kept. Start the run again"
    )


def unpack(
    config: IngestConfig,
    output: Path,
    root: Path,
    cache: Path,
    shard: CorpusShard,
    observed: Mapping[str, str] | None = None,
    *,
    threads: int,
    memory: str,
    scratch: Path,
) -> dict[str, float]:
    """Write a slice for each of `config.shards` shards into `output`, named by SLICE.

    `root`, `cache`: as for ingest; `observed`: what `unpack_state` returned for the group (None: not checked). Return the number of texts,
    documents (still to be read), faults and excluded documents. Raise SourceError and HostileArchive."""
    output.mkdir(parents=True, exist_ok=True)
    scratch.mkdir(parents=True, exist_ok=True)
    sources = [source for source in config.sources if isinstance(source, TextSource)]
    choices = {source.label: group_choice(source, shard) for source in sources}
    pinned = [one for one in sources if isinstance(one, PackageSource | RemoteSource) and choices[one.label](pinned_name(one), None)]
    reader = SourceReader(root, cache, observed, fetch_pinned(pinned, cache), part="records")
    with tempfile.TemporaryDirectory(dir=scratch, prefix="unpacking-") as folder, ParserSandbox() as sandbox:
        slices = SliceWriter(Path(folder), config.shards, config.without_texts)
        try:
            for source in sources:
                works = WorkGrouping(source.label, source.join, None, frozenset(config.without))
                extractor = extractor_for(source, works, slices, sandbox, config, Path(folder))
                # Whether a document is left out by its text is known once it was read.
                later = None if config.without_texts else slices.add_unread
                reader.read(source, replace(extractor, later=later), choices[source.label], faults=False)
                slices.exclude(works.excluded_here)
            slices.write(output, threads=threads, memory=memory, scratch=Path(folder))
        finally:
            slices.close()
    counts = slices.counts
    return {"texts": counts["text"], "documents": counts["document"], "faults": counts["fault"], "excluded": counts["excluded"]}
