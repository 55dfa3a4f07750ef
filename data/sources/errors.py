"""Errors of the sources. Each message names the thing, its value and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from data.sources.config import (
    CaptionedSource,
    FilesSource,
    IngestConfig,
    JudgementSource,
    ManifestSource,
    PackageSource,
    RemoteSource,
    SourceConfig,
)


class SourceError(ValueError):
    """A source can't be read as the recipe asks."""


class HostileArchive(SourceError):
    """An archive or compressed file holds what no honest one needs: paths outside it, links, or far too much data."""


class Unreadable(ValueError):
    """A file or record gives no text. The message becomes its quarantine reason: a few words, a colon, the details."""


def refuse_empty_sources(config: IngestConfig, root: Path, metrics: Iterable[Mapping[str, float]], quarantines: Iterable[Path]) -> None:
    """Raise SourceError if a source gave no document, naming it and its first quarantined file.

    `metrics`: what `ingest` returned for each shard; `quarantines`: the shards' quarantine.parquet, read only to explain."""
    counts = list(metrics)
    for source in config.sources:
        if not sum(shard.get(f"documents.{source.label}", 0.0) for shard in counts):
            import pyarrow.parquet as pq

            count, first = 0, ("", "")
            for path in quarantines:
                for row in (row for batch in pq.ParquetFile(path).iter_batches(1024) for row in batch.to_pylist()):
                    if row["source"] == source.label:
                        first = min(first, (row["path"], row["reason"])) if count else (row["path"], row["reason"])
                        count += 1
            raise SourceError(_message(source, root, count, first))


def _message(source: SourceConfig, root: Path, count: int, first: tuple[str, str]) -> str:
    if isinstance(source, PackageSource):
        where = f"package {source.package}=={source.version}: include {source.include}, exclude {source.exclude}"
    elif isinstance(source, FilesSource | CaptionedSource):
        where = f"source {source.name!r}: paths {source.paths} under {root}"
    elif isinstance(source, ManifestSource):
        where = f"{source.manifest} under {root}: formats {', '.join(source.formats)}"
    elif isinstance(source, RemoteSource):
        where = f"{source.url}: formats {', '.join(source.formats)}"
    elif isinstance(source, JudgementSource):
        return f"source {source.name!r}: none of its judgements makes an example; `folio judgements` says what became of each"
    else:
        where = source.label
    why = f"; {count} files or records were quarantined, the first: {first[0]}: {first[1]}" if count else ""
    return f"empty corpus: {where} gave no readable text{why}. Correct the source's paths, globs or fields"
