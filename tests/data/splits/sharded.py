"""Splitting without a flow: documents are assigned, and each shard is divided."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data.documents.stream import SizedWriter
from data.splits.assignment import assign, split
from data.splits.config import ASSIGNED, SplitConfig


def split_shards(
    shards: Sequence[Path], clusters: Path, output: Path, config: SplitConfig, **limits: Any
) -> tuple[list[Path], dict[str, float]]:
    """Split each shard into `output`/0, `output`/1 and so on; return these folders and all metrics, those of shards added up."""
    steps = output.with_name(f"{output.name}-steps")
    sizes = [write_sizes(shard, steps / f"sizes{number}.parquet") for number, shard in enumerate(shards)]
    metrics = assign(sizes, clusters, steps, config, **limits)
    folders = [output / str(number) for number in range(len(shards))]
    for number, (shard, folder) in enumerate(zip(shards, folders, strict=True)):
        found = split(shard, steps / ASSIGNED.format(number), folder, config.dividing, **limits)
        metrics |= {name: metrics.get(name, 0.0) + value for name, value in found.items()}
    return folders, metrics


def write_sizes(documents: Path, target: Path) -> Path:
    """Write the sizes of documents as the stages before splitting do."""
    with SizedWriter(target.with_suffix(".documents"), target) as writer:
        for row in pq.read_table(documents).to_pylist():
            writer.write(row)
    return target
