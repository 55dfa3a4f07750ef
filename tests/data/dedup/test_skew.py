"""Partitions where documents are unequal: one that half of all buckets hold, a bucket of half of all documents, a chain of all."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.dedup.config import DedupConfig, PartitionedConfig
from data.dedup.partitioned.clusters import find_components
from data.dedup.partitioned.pairs import propose_pairs
from data.dedup.partitioned.shard import SHARD_BITS

SHARDS, PARTITIONS = 3, 5
CONFIG = PartitionedConfig(rules=DedupConfig(), shards=SHARDS, partitions=PARTITIONS)


def numbered(places: Any) -> Any:
    """Return documents' numbers: places in order, divided into shards of equal size."""
    size = -(-(int(places.max()) + 1) // SHARDS)
    return (places // size << SHARD_BITS) + places % size


def write(path: Path, **columns: Any) -> Path:
    """Write a table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def rows_of(folder: Path) -> list[int]:
    """Return how many rows each slice of a folder has."""
    return [pq.read_metadata(path).num_rows for path in sorted(folder.glob("*.parquet"))]


def none(path: Path) -> Path:
    """Write a table of no copies."""
    return write(path, number=pa.array([], pa.int64()), head=pa.array([], pa.int64()))


def test_pairs_of_a_document_in_half_of_all_buckets_and_of_a_bucket_of_half_of_all_documents_are_spread_evenly(tmp_path: Path) -> None:
    documents, buckets = 60_000, 20_000
    half = np.arange(documents // 2)
    bucket = np.concatenate([np.zeros(len(half)), np.arange(1, buckets // 2), np.arange(1, buckets // 2)]).astype(np.uint64)
    place = np.concatenate([half, np.full(buckets // 2 - 1, 7), documents - np.arange(1, buckets // 2)])
    signatures = write(tmp_path / "signatures.parquet", bucket=bucket, number=numbered(place))
    limits: dict[str, Any] = {"threads": 1, "memory": "100MB", "scratch": tmp_path / "scratch"}
    found = propose_pairs([signatures], [none(tmp_path / "copies.parquet")], tmp_path / "out", CONFIG, **limits)
    assert found["pairs_proposed"] < 2 * len(bucket), "a large bucket compares neighbours"
    shares = rows_of(tmp_path / "out" / "pairs")
    assert len(shares) == PARTITIONS and sum(shares) == found["pairs_proposed"] and max(shares) < 1.05 * min(shares)


def test_a_chain_of_a_hundred_thousand_through_all_shards_is_one_cluster(tmp_path: Path) -> None:
    size = 100_000
    order = list(range(size))
    Random(1).shuffle(order)
    links = numbered(np.array([sorted(pair) for pair in pairwise(order)]))
    pairs = [
        write(
            tmp_path / f"{part}.parquet",
            a=links[part::PARTITIONS, 0],
            b=links[part::PARTITIONS, 1],
            jaccard=np.full(len(links[part::PARTITIONS]), 0.9),
        )
        for part in range(PARTITIONS)
    ]
    extents = [write(tmp_path / f"extent{n}.parquet", documents=[size // SHARDS], first=[f"{n}a"], last=[f"{n}z"]) for n in range(SHARDS)]
    limits: dict[str, Any] = {"threads": 1, "memory": "200MB", "scratch": tmp_path / "scratch"}
    found = find_components([none(tmp_path / "copies.parquet")], extents, tmp_path / "out", CONFIG, pairs, **limits)
    assert found["documents_in_clusters"] == size and sum(rows_of(tmp_path / "out" / "members")) == size
    for path in (tmp_path / "out" / "members").glob("*.parquet"):
        assert set(pq.read_table(path)["cluster"].to_pylist()) == {0}
    assert rows_of(tmp_path / "out" / "pairs") == [size - 1, 0, 0, 0, 0]
