"""Reads one shard's documents from every source into Parquet, with an account of each file and record.

Each file of the shard, and each of its records in files that hold many, is a row of documents.parquet or of quarantine.parquet. Rows are
ordered by id, and the output is the same bytes on every machine, for any threads and memory; it has no absolute paths and no times.
A damaged file costs itself alone. What is read is what the key was computed from: a local file that has changed since, and anything the
recipe names that is missing, is a SourceError. A shard may be empty; `empty_sources` checks that no source is.

Costs one pass over the shard's files and over its slices of what was unpacked. Where nothing was, as with one shard, archives and files of
records are read here. Memory holds one document at a time; texts wait under `scratch`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.documents.sharding import CorpusShard
from data.shards.pictures import PARTS, write_parts
from data.sources.config import JUDGED, CaptionedSource, IngestConfig, JudgementSource
from data.sources.document_store import DocumentStore
from data.sources.errors import SourceError
from data.sources.extraction import Extractor, Part
from data.sources.fetching.pinned import fetch_pinned
from data.sources.pictures import PartStore, PictureReader, read_collection
from data.sources.reading import SourceReader, extractor_for, read_files
from data.sources.sandbox.parser_sandbox import ParserSandbox
from data.sources.sharing import WorkGrouping, shard_choice
from data.sources.unpacked import Fault, SourceText, Unread, read_slices
from data.synthetic.config import SyntheticSource
from data.synthetic.text_table import read_texts
from data.universe.config import UniverseSource


@dataclass(frozen=True)
class IngestInputs:
    """The place that sources are read from.

    `root`: where relative paths begin; `cache`: where fetched archives are kept; `universe`: the folder of generated books; `observed`:
    what `source_state` returned for the shard (None: not checked); `synthetic`: the folder of synthetic texts; `unpacked`: the shard's
    slices of what was unpacked; `judgements`: the file of what judgements come to."""

    root: Path
    cache: Path
    universe: Path | None = None
    observed: Mapping[str, str] | None = None
    synthetic: Path | None = None
    unpacked: Sequence[Path] = ()
    judgements: Path | None = None


def ingest(
    config: IngestConfig, output: Path, inputs: IngestInputs, shard: CorpusShard | None = None, *, threads: int, memory: str, scratch: Path
) -> dict[str, float]:
    """Write documents.parquet, quarantine.parquet and ledger.parquet of a shard (None: of the whole corpus) into `output`.

    With sources of pictures also parts.parquet, and `pictures`, how many different ones it holds, among the counts.

    `memory` is DuckDB's limit, such as "2GB". Return documents, quarantined (files and records), characters, bytes (of the texts in UTF-8),
    joined_parts (files that became part of a work) and documents.<source> for each source. Raise SourceError and HostileArchive."""
    output.mkdir(parents=True, exist_ok=True)
    scratch.mkdir(parents=True, exist_ok=True)
    part: Part = "all" if shard is None or shard.count == 1 else "documents"
    reader = SourceReader(inputs.root, inputs.cache, inputs.observed, fetch_pinned(config.sources, inputs.cache), part)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="reading-") as folder, ParserSandbox() as sandbox:
        store = DocumentStore(Path(folder), 1 if shard is None else shard.count, frozenset(config.without))
        parts = PartStore(Path(folder))
        try:
            extractors = {}
            for source in config.sources:
                works = WorkGrouping(source.label, getattr(source, "join", None), shard, frozenset(config.without))
                extractors[source.label] = extractor = extractor_for(source, works, store, sandbox, config, Path(folder))
                if isinstance(source, UniverseSource):
                    _read_universe(extractor, inputs.universe)
                elif isinstance(source, SyntheticSource):
                    _read_synthetic(source, extractor, inputs.synthetic)
                elif isinstance(source, JudgementSource):
                    _read_judged(extractor, inputs.judgements)
                elif isinstance(source, CaptionedSource) and source.collection:
                    read_collection(source, works, store, parts)
                elif isinstance(source, CaptionedSource):
                    PictureReader(source, extractor, parts, inputs.root, inputs.observed).read()
                else:
                    reader.read(source, extractor, shard_choice(source, works), faults=True)
                store.exclude(works.excluded_here)
            if inputs.unpacked:
                _read_unpacked(inputs.unpacked, extractors, store)
            counts = store.write(output, threads=threads, memory=memory, scratch=Path(folder))
            if config.has_pictures:
                counts["pictures"] = float(write_parts(output / PARTS, parts.read(without=store.excluded)))
        finally:
            store.close()
            parts.close()
    return counts | {f"documents.{source.label}": float(store.documents[source.label]) for source in config.sources}


def _read_universe(extractor: Extractor, folder: Path | None) -> None:
    if folder is None:
        raise SourceError("a source of kind universe is read from its generated books; pass the folder that stage universe made")
    books = {f"books/{path.name}": path for path in folder.glob("*.txt")}
    read_files(extractor, {name: path for name, path in sorted(books.items()) if extractor.works.includes_file(name)}, {}, None)


def _read_synthetic(source: SyntheticSource, extractor: Extractor, folder: Path | None) -> None:
    if folder is None:
        raise SourceError("a source of kind synthetic is read from texts already written; pass the folder as stage synthesize makes it")
    for path, maker, text in read_texts(folder, extractor.works.includes_file):
        extractor.contents.add(SourceText(source.label, path, path, "record", text, "txt", maker=maker))


def _read_judged(extractor: Extractor, file: Path | None) -> None:
    if file is None:
        raise SourceError(f"a source of kind judgements is read from what they come to; pass {JUDGED} as stage judgements makes it")
    extractor.read_path(JUDGED, file)


def _read_unpacked(slices: Sequence[Path], extractors: Mapping[str, Extractor], store: DocumentStore) -> None:
    for item in read_slices(slices):
        if isinstance(item, Unread):
            extractors[item.source].read_unread(item)
        elif isinstance(item, Fault):
            store.quarantine(item)
        elif isinstance(item, SourceText):
            store.add(item)
        else:
            store.exclude({item})
