"""Ingests a folder shard by shard, for the tests of sources."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from data.documents.sharding import SLICE, document_id
from data.sources.config import FilesSource, IngestConfig
from data.sources.files import groups_at_work, source_state, unpack_state
from data.sources.ingest import IngestInputs, ingest
from data.sources.reading import unpack
from data.sources.sharing import GROUPS


def limits(scratch: Path, threads: int = 1, memory: str = "300MB") -> dict[str, Any]:
    """Return what DuckDB may use."""
    return {"threads": threads, "memory": memory, "scratch": scratch}


@dataclass(frozen=True)
class Shard:
    """Shard `number` of `count`."""

    number: int
    count: int


def digests(files: Iterable[Path]) -> dict[Path, str]:
    """Return the hex sha256 of each file."""
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def states(config: IngestConfig, root: Path) -> list[dict[str, str]]:
    """Return the observed state of each shard, in order."""
    return [source_state(config, root, Shard(number, config.shards), digests) for number in range(config.shards)]


def read(config: IngestConfig, root: Path, output: Path, universe: Path | None = None) -> list[dict[str, float]]:
    """Ingest every shard into a folder of `output` named by its number, as the stages do; return the metrics."""
    observed, folders = states(config, root), unpack_all(config, root, output)
    return [
        ingest(
            config,
            output / str(number),
            IngestInputs(root, root, universe, state, unpacked=[folder / SLICE.format(number) for folder in folders]),
            Shard(number, config.shards),
            **limits(output / "scratch"),
        )
        for number, state in enumerate(observed)
    ]


def unpack_all(config: IngestConfig, root: Path, output: Path) -> list[Path]:
    """Unpack what the shards do not open themselves into folders of `output`, as the stage does; return the folders."""
    folders = []
    for number in groups_at_work(config, root):
        group = Shard(number, GROUPS)
        folders.append(output / f"unpacked-{number}")
        observed = unpack_state(config, root, group, digests)
        unpack(config, folders[-1], root, root, group, observed, **limits(output / "scratch"))
    return folders


def rows(output: Path, name: str, shards: int) -> list[dict[str, Any]]:
    """Return the rows of one file of all shards, in order."""
    return [row for number in range(shards) for row in pq.read_table(output / str(number) / f"{name}.parquet").to_pylist()]


# A row for what lies inside a document whose text is kept.
LEFT_OUT = re.compile(r"not read: .* (?:characters|bytes) in [\d,]+ place")


class Outcome(NamedTuple):
    """The result for a folder: rows by path, quarantine reasons by path, and the metrics summed over the shards.

    `left_out`: reasons of what lies inside documents whose text is kept, by path."""

    documents: dict[str, dict[str, Any]]
    reasons: dict[str, str]
    metrics: dict[str, float]
    left_out: dict[str, str]

    @property
    def texts(self) -> dict[str, str]:
        """The texts by path."""
        return {path: row["text"] for path, row in self.documents.items()}

    @property
    def formats(self) -> dict[str, str]:
        """Each document's format by path."""
        return {path: row["format"] for path, row in self.documents.items()}


def read_all(folder: Path, output: Path, shards: int = 1, **keys: Any) -> Outcome:
    """Ingest a folder in shards and check that every file and record is in the ledger once."""
    source = FilesSource.model_validate({"name": "shelf", "paths": (".",)} | keys)
    return outcome(IngestConfig(sources=(source,), shards=shards), folder, output)


def outcome(config: IngestConfig, folder: Path, output: Path) -> Outcome:
    """Ingest sources and check that every file and record is in the ledger once."""
    metrics = read(config, folder, output)
    documents, quarantined, ledger = (rows(output, name, config.shards) for name in ("documents", "quarantine", "ledger"))
    closing = sorted(row["id"] for row in ledger)
    assert closing == sorted([row["id"] for row in documents] + [document_id(row["source"], row["path"]) for row in quarantined])
    assert len(set(closing)) == len(closing) == sum(shard["documents"] + shard["quarantined"] for shard in metrics)
    found = {meta["path"]: row | meta for row in documents for meta in (json.loads(row["metadata"]),)}
    total = {name: sum(shard[name] for shard in metrics) for name in metrics[0]}
    reasons = {row["path"]: row["reason"] for row in quarantined}
    left_out = {path: reason for path, reason in reasons.items() if LEFT_OUT.match(reason)}
    return Outcome(found, {path: reason for path, reason in reasons.items() if path not in left_out}, total, left_out)


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files into a folder and return it."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder
