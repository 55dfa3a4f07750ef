"""Reading the truth tables that write_universe keeps beside the books: `clean`, `faults` and `duplicates`."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def truth_table(truth: Path, name: str) -> list[dict[str, Any]]:
    """Rows of `truth/<name>.parquet`; FileNotFoundError if the folder holds no such table."""
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(truth / f"{name}.parquet").to_pylist()
    return rows
