"""The truth about a universe's books, in three tables: `clean` texts, `faults` and `duplicates`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from data.universe.book import Book
    from data.universe.faults import Fault


def write_truth(directory: Path, books: list[Book], originals: dict[str, tuple[str, str]], faults: list[tuple[str, Fault]]) -> None:
    """Write the tables. `originals`: {path of a copy: (path it repeats, exact or near)}; `faults`: (path, fault)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    directory.mkdir(parents=True, exist_ok=True)
    clean = {
        "path": [b.path for b in books],
        "title": [b.title for b in books],
        "text": ["\n\n".join(b.paragraphs) for b in books],
    }
    faults = sorted(faults, key=lambda row: (row[0], row[1].start, row[1].end, row[1].kind))
    columns: dict[str, list[str] | list[int]] = {
        "path": [path for path, _ in faults],
        "kind": [f.kind for _, f in faults],
        "paragraph": [f.paragraph for _, f in faults],
        "start": [f.start for _, f in faults],
        "end": [f.end for _, f in faults],
        "injected": [f.injected for _, f in faults],
        "original": [f.original for _, f in faults],
    }
    text, number = pa.string(), pa.int64()
    types = [(name, number if name in ("paragraph", "start", "end") else text) for name in columns]
    copies = {
        "path": list(originals),
        "original": [original for original, _ in originals.values()],
        "kind": [kind for _, kind in originals.values()],
    }
    pq.write_table(pa.table(clean, schema=pa.schema([(n, text) for n in clean])), directory / "clean.parquet")
    pq.write_table(pa.table(columns, schema=pa.schema(types)), directory / "faults.parquet")
    pq.write_table(pa.table(copies, schema=pa.schema([(n, text) for n in copies])), directory / "duplicates.parquet")


def truth_table(truth: Path, name: str) -> list[dict[str, Any]]:
    """Return the rows of `truth/<name>.parquet`. Raise FileNotFoundError if it is missing."""
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(truth / f"{name}.parquet").to_pylist()
    return rows
