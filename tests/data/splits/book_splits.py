"""Documents with clusters on disk, split for real, and a plain-Python model of where each would go."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data.documents.rows import DOCUMENTS
from data.shards.names import SPLITS
from data.splits.config import SplitConfig
from tests.data.splits.sharded import split_shards


@dataclass(frozen=True)
class Book:
    """A document: its cluster (its own by default), its source, its length, and whether a machine wrote it."""

    cluster: str = ""
    source: str = "test"
    size: int = 20
    synthetic: bool = False


Books = dict[str, Book]


def write_files(folder: Path, books: Books, *more: str) -> tuple[Path, Path]:
    """Write documents.parquet, and clusters.parquet, which also names removed documents (`more`)."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {"id": name, "title": name, "source": book.source, "text": "x" * book.size, "metadata": "{}", "synthetic": book.synthetic}
        for name, book in sorted(books.items())
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=DOCUMENTS), folder / "documents.parquet")
    clusters = {name: book.cluster or name for name, book in books.items()} | {name: name for name in more}
    pq.write_table(
        pa.table({"id": list(clusters), "cluster": list(clusters.values())}, schema=pa.schema({"id": pa.string(), "cluster": pa.string()})),
        folder / "clusters.parquet",
    )
    return folder / "documents.parquet", folder / "clusters.parquet"


def run_split(folder: Path, books: Books, config: SplitConfig, *more: str, threads: int = 1) -> dict[str, float]:
    """Split books into `folder`/out; return the metrics."""
    documents, clusters = write_files(folder, books, *more)
    limits = {"threads": threads, "memory": "500MB", "scratch": folder / "scratch"}
    return split_shards([documents], clusters, folder / "out", config, **limits)[1]


def rows_of(output: Path, file: str) -> list[dict[str, Any]]:
    """Return the rows of a file of all shards, shard by shard."""
    return [row for path in sorted(output.glob(f"*/{file}")) for row in pq.read_table(path).to_pylist()]


def ids_by_split(folder: Path) -> dict[str, list[str]]:
    """Return the ids in each split."""
    return {part: [str(row["id"]) for row in rows_of(folder / "out", f"{part}.parquet")] for part in SPLITS}


def assignments(books: Books, config: SplitConfig) -> dict[str, str]:
    """Return the split of each document; removed documents are missing."""
    with TemporaryDirectory() as folder:
        run_split(Path(folder), books, config)
        return {name: part for part, names in ids_by_split(Path(folder)).items() for name in names}


def cluster_number(seed: int, name: str) -> float:
    """Return the number between 0 and 1 of a cluster's name."""
    return int(hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()[:13], 16) / 2**52


def split_by_number(seed: int, name: str, config: SplitConfig) -> str:
    """Return the split that a name's number alone assigns."""
    value = cluster_number(seed, name)
    return "test" if value < config.test else "val" if value >= 1 - config.val else "train"
