"""Documents with clusters on disk, split for real, and a plain-Python account of where each would go."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq

from data.documents.schema import DOCUMENTS
from data.splits.config import SplitConfig
from data.splits.split import SPLITS, split


@dataclass(frozen=True)
class Book:
    """A document: its cluster (its own by default), its source, its length, and whether a machine wrote it."""

    cluster: str = ""
    source: str = "test"
    size: int = 20
    synthetic: bool = False


Shelf = dict[str, Book]


def files(folder: Path, shelf: Shelf, *more: str) -> tuple[Path, Path]:
    """documents.parquet and clusters.parquet, which also names documents that are gone (`more`)."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {"id": name, "title": name, "source": book.source, "text": "x" * book.size, "metadata": "{}", "synthetic": book.synthetic}
        for name, book in sorted(shelf.items())
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=DOCUMENTS), folder / "documents.parquet")
    clusters = {name: book.cluster or name for name, book in shelf.items()} | {name: name for name in more}
    pq.write_table(
        pa.table({"id": list(clusters), "cluster": list(clusters.values())}, schema=pa.schema({"id": pa.string(), "cluster": pa.string()})),
        folder / "clusters.parquet",
    )
    return folder / "documents.parquet", folder / "clusters.parquet"


def divide(folder: Path, shelf: Shelf, config: SplitConfig, *more: str, threads: int = 1) -> dict[str, float]:
    """Splits a shelf into `folder`/out; returns the metrics."""
    documents, clusters = files(folder, shelf, *more)
    return split(documents, clusters, folder / "out", config, threads=threads, memory="500MB", scratch=folder / "scratch")


def parts(folder: Path) -> dict[str, list[str]]:
    """The ids that each part holds."""
    return {part: [str(name) for name in pq.read_table(folder / "out" / f"{part}.parquet")["id"].to_pylist()] for part in SPLITS}


def places(shelf: Shelf, config: SplitConfig) -> dict[str, str]:
    """Where each document of a shelf went; documents that were removed are missing."""
    with TemporaryDirectory() as folder:
        divide(Path(folder), shelf, config)
        return {name: part for part, names in parts(Path(folder)).items() for name in names}


def number(seed: int, name: str) -> float:
    """Where a cluster's name falls between 0 and 1."""
    return int(hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()[:13], 16) / 2**52


def by_number(seed: int, name: str, config: SplitConfig) -> str:
    """The part in which a name's number alone puts its cluster."""
    found = number(seed, name)
    return "test" if found < config.test else "val" if found >= 1 - config.val else "train"
