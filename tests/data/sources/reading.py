"""Reading a shelf shard by shard, for the tests of sources."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from data.sources.config import IngestConfig
from data.sources.files import source_state
from data.sources.ingest import Surroundings, ingest


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
            Surroundings(root, root, universe, state),
            Part(number, config.shards),
            **limits(output / "scratch"),
        )
        for number, state in enumerate(states(config, root))
    ]


def rows(output: Path, name: str, shards: int) -> list[dict[str, Any]]:
    """The rows of a file of all shards, in their order."""
    return [row for number in range(shards) for row in pq.read_table(output / str(number) / f"{name}.parquet").to_pylist()]
