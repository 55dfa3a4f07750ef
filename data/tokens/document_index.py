"""Where each document lies in the packed rows: documents.parquet, what to look at, or take down.

The rows between first and last need not all hold the document: best fit packs the rest of a long one wherever there is room.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.tokens.layout import TextLayout

if TYPE_CHECKING:
    import pyarrow as pa


def documents_table(split: str, layout: TextLayout, places: NDArray[np.int64]) -> pa.Table:
    """A row for each document of a layout. `places`: where the layout's rows lie among all rows of the split."""
    import pyarrow as pa

    stream = layout.stream
    columns: dict[str, Any] = {"id": pa.array(stream.ids, pa.string()), "split": pa.array([split] * len(stream.ids), pa.string())}
    columns |= {"source": pa.array(stream.sources, pa.string()), "tokens": pa.array(stream.lengths), "bytes": pa.array(stream.bytes)}
    columns |= {"first_row": pa.array(places[layout.first_row]), "last_row": pa.array(places[layout.last_row])}
    return pa.table(columns)


def write_documents(path: Path, tables: list[pa.Table]) -> None:
    """Write all of them, by id and split."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    ordered = pa.concat_tables(tables).sort_by([("id", "ascending"), ("split", "ascending")])
    pq.write_table(ordered, path, compression="zstd")
