"""Writes documents.parquet, which says where each document is in the packed rows, for lineage and take-down.

Not every row between the first and the last needs to hold the document: best fit packs the rest of a long one wherever there is room.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.tokens.layout import TextLayout

if TYPE_CHECKING:
    import pyarrow as pa


def documents_table(split: str, layout: TextLayout, row_numbers: NDArray[np.int64]) -> pa.Table:
    """Return a row for each document of a layout. `row_numbers` are the layout's rows among all rows of the split."""
    import pyarrow as pa

    stream = layout.stream
    columns: dict[str, Any] = {"id": pa.array(stream.ids, pa.string()), "split": pa.array([split] * len(stream.ids), pa.string())}
    columns |= {"source": pa.array(stream.sources, pa.string()), "tokens": pa.array(stream.lengths), "bytes": pa.array(stream.bytes)}
    columns |= {"first_row": pa.array(row_numbers[layout.first_row]), "last_row": pa.array(row_numbers[layout.last_row])}
    return pa.table(columns)


def write_documents(path: Path, tables: list[pa.Table]) -> None:
    """Write all tables as one, ordered by id and split."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    ordered = pa.concat_tables(tables).sort_by([("id", "ascending"), ("split", "ascending")])
    pq.write_table(ordered, path, compression="zstd")
