"""Sources that gave no text in any shard: a fault of the recipe, since whoever names a source wants something of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow.parquet as pq

from data.sources.config import FilesSource, IngestConfig, PackageSource, RemoteSource, SourceConfig
from data.sources.errors import SourceError


def refuse_silence(config: IngestConfig, root: Path, metrics: Iterable[Mapping[str, float]], quarantines: Iterable[Path]) -> None:
    """Go on only if every source gave a document. `metrics`: what `ingest` measured, one a shard; `quarantines`: their quarantine.parquet,
    which are read only to say why. Raises SourceError naming the source, and the first file that was put aside."""
    measured = list(metrics)
    for source in config.sources:
        if not sum(shard.get(f"documents.{source.label}", 0.0) for shard in measured):
            rows = (row for path in quarantines for row in pq.read_table(path).to_pylist())
            raise SourceError(_words(source, root, sorted((r["path"], r["reason"]) for r in rows if r["source"] == source.label)))


def _words(source: SourceConfig, root: Path, aside: list[tuple[str, str]]) -> str:
    if isinstance(source, PackageSource):
        where = f"package {source.package}=={source.version}: include {source.include}, exclude {source.exclude}"
    elif isinstance(source, FilesSource):
        where = f"source {source.name!r}: paths {source.paths} under {root}"
    elif isinstance(source, RemoteSource):
        where = f"{source.url}: formats {', '.join(source.formats)}"
    else:
        where = source.label
    why = f"; {len(aside)} files or records were quarantined, the first: {aside[0][0]}: {aside[0][1]}" if aside else ""
    return f"empty corpus: {where} gave no readable text{why}. Correct the source's paths, globs or fields"
