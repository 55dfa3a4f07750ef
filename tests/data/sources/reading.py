"""Reading a shelf shard by shard, for the tests of sources."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from data.documents.schema import document_id
from data.sources.config import FilesSource, IngestConfig
from data.sources.files import source_state
from data.sources.ingest import IngestInputs, ingest


def limits(scratch: Path, threads: int = 1, memory: str = "300MB") -> dict[str, Any]:
    """What DuckDB may use."""
    return {"threads": threads, "memory": memory, "scratch": scratch}


class Part(NamedTuple):
    """Part `number` of `count`."""

    number: int
    count: int


def digests(files: Iterable[Path]) -> dict[Path, str]:
    """Hex sha256 of files."""
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def states(config: IngestConfig, root: Path) -> list[dict[str, str]]:
    """What is observed of each shard, in order."""
    return [source_state(config, root, Part(number, config.shards), digests) for number in range(config.shards)]


def read(config: IngestConfig, root: Path, output: Path, universe: Path | None = None) -> list[dict[str, float]]:
    """Reads every shard into a folder of `output` called by its number, as the stage would; returns the metrics."""
    return [
        ingest(
            config,
            output / str(number),
            IngestInputs(root, root, universe, state),
            Part(number, config.shards),
            **limits(output / "scratch"),
        )
        for number, state in enumerate(states(config, root))
    ]


def rows(output: Path, name: str, shards: int) -> list[dict[str, Any]]:
    """The rows of a file of all shards, in their order."""
    return [row for number in range(shards) for row in pq.read_table(output / str(number) / f"{name}.parquet").to_pylist()]


class Outcome(NamedTuple):
    """What became of a folder: rows by path, reasons by path, the metrics of all shards together."""

    documents: dict[str, dict[str, Any]]
    reasons: dict[str, str]
    metrics: dict[str, float]

    @property
    def texts(self) -> dict[str, str]:
        """Text by path."""
        return {path: row["text"] for path, row in self.documents.items()}

    @property
    def formats(self) -> dict[str, str]:
        """What each document was read as."""
        return {path: row["format"] for path, row in self.documents.items()}


def read_all(folder: Path, output: Path, shards: int = 1, **keys: Any) -> Outcome:
    """Reads a folder in shards; every file and record stands in the ledger once."""
    source = FilesSource.model_validate({"name": "shelf", "paths": (".",)} | keys)
    return outcome(IngestConfig(sources=(source,), shards=shards), folder, output)


def outcome(config: IngestConfig, folder: Path, output: Path) -> Outcome:
    """Reads sources; every file and record stands in the ledger once."""
    metrics = read(config, folder, output)
    documents, aside, ledger = (rows(output, name, config.shards) for name in ("documents", "quarantine", "ledger"))
    closing = sorted(row["id"] for row in ledger)
    assert closing == sorted([row["id"] for row in documents] + [document_id(row["source"], row["path"]) for row in aside])
    assert len(set(closing)) == len(closing) == sum(part["documents"] + part["quarantined"] for part in metrics)
    found = {meta["path"]: row | meta for row in documents for meta in (json.loads(row["metadata"]),)}
    total = {name: sum(part[name] for part in metrics) for name in metrics[0]}
    return Outcome(found, {row["path"]: row["reason"] for row in aside}, total)


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Puts files into a folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder
