"""Opens the archives and files of records of one group, once, and writes each shard its slice of what they hold.

Records come out as texts; a document inside an archive as its bytes, for its shard to read, so the work of reading is shared. A damaged
file costs itself alone, as it does in ingest. The output is the same bytes on every machine, for any threads and memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from data.documents.sharding import CorpusShard
from data.sources.config import IngestConfig, PackageSource, RemoteSource, TextSource
from data.sources.fetching.pinned import fetch_pinned
from data.sources.reading import SourceReader, extractor_for
from data.sources.sandbox.parser_sandbox import ParserSandbox
from data.sources.sharing import group_choice, pinned_name
from data.sources.unpacked import SliceWriter
from data.sources.work_grouping import WorkGrouping


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
