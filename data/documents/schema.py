"""Schemas of the Parquet files that the packages of `data` exchange, and how they are written.

Equal rows give equal bytes: fixed schema, fixed number of rows per group, and no time, host or path inside. Memory holds one row group.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROWS_A_GROUP = 128

# id: 16 hex digits that don't depend on the text. metadata: a JSON object. synthetic: written by a machine.
DOCUMENTS = pa.schema(
    [pa.field(name, pa.string()) for name in ("id", "title", "source", "text", "metadata")] + [pa.field("synthetic", pa.bool_())]
)
# What of a document needs no text: deciding where it goes reads this and not the texts.
SIZES = pa.schema(
    [pa.field(name, pa.string()) for name in ("id", "source")] + [pa.field("synthetic", pa.bool_()), pa.field("characters", pa.int64())]
)
# action: kept, changed, removed, duplicate or quarantined. count: how many passages. characters: how many it touched. net: characters in
# minus characters out. See `ledger`.
LEDGER = pa.schema(
    {name: pa.string() for name in ("id", "stage", "action", "rule")}
    | {"count": pa.int64(), "characters": pa.int64(), "net": pa.int64(), "detail": pa.string()}
)
QUARANTINE = pa.schema([(name, pa.string()) for name in ("source", "path", "reason")])


def write_rows(path: Path, schema: pa.Schema, rows: Iterable[dict[str, Any]]) -> int:
    """Write rows in the order given and return how many."""
    pending, count = iter(rows), 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while group := list(islice(pending, ROWS_A_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema), row_group_size=ROWS_A_GROUP)
            count += len(group)
    return count
