"""Parquet: one record per row. A record's number is its row number.

Memory: a batch of at most ROWS rows and about BATCH bytes. Texts that unpack to far more than honest data could are refused while they are
read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from data.sources.archives.compression import refuse_bomb
from data.sources.errors import Unreadable
from data.sources.readers.record import (
    BrokenRecord,
    ReaderOptions,
    ReaderOutput,
    RecordFilter,
    build_record,
    name_by_number,
    require_columns,
)

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

ROWS, BATCH = 256, 16 << 20
ROWS_A_BYTE = 100  # a file with more rows per byte than this can't contain text


def read_parquet(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield a record for each row; the stream must be seekable."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(stream, pre_buffer=False, buffer_size=1 << 20) as file:
            yield from _rows(file, stream.seek(0, 2), options, wanted)
    except (pa.ArrowException, OSError) as error:
        raise Unreadable(f"damaged parquet: {error}") from error


def _rows(file: pq.ParquetFile, size: int, options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    import pyarrow as pa

    schema, metadata = file.schema_arrow, file.metadata
    require_columns(schema.names, options)
    kind = pa.string() if options.whole else _kind(schema, options.text_field)
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_dictionary(kind)):
        raise Unreadable(f"no text: column {options.text_field!r} holds {kind}")
    if metadata.num_rows > ROWS_A_BYTE * size:
        raise Unreadable(f"hostile parquet: {metadata.num_rows} rows in {size} bytes")
    if not metadata.num_rows:
        raise Unreadable("empty: no row")
    named = schema.names if options.whole else (options.text_field, options.id_field, options.title_field)
    columns = list(dict.fromkeys(name for name in named if name is not None))
    number = unpacked = 0
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        rows = max(1, min(ROWS, BATCH * row_group.num_rows // max(row_group.total_byte_size, 1)))
        for batch in file.iter_batches(batch_size=rows, row_groups=[group], columns=columns, use_threads=False):
            unpacked += batch.nbytes
            refuse_bomb("parquet", unpacked, size)
            # A nested column comes inside the struct that holds it.
            arrays = {name: batch.column(name) for name in batch.schema.names}
            for row in range(batch.num_rows):
                number += 1
                name = name_by_number(number, options)
                if options.id_field is None and not wanted(name):
                    continue
                try:
                    fields = {name: array[row].as_py() for name, array in arrays.items()}
                except UnicodeDecodeError as error:
                    if wanted(name):
                        yield BrokenRecord(f"not utf-8: {error}", name)
                    continue
                if found := build_record(fields, number, options, wanted):
                    yield found


def _kind(schema: pa.Schema, name: str) -> pa.DataType:
    """Return the type of a column, which may be nested in structs. Raise Unreadable if there is none."""
    import pyarrow as pa

    outer = name if name in schema.names else name.partition(".")[0]
    kind: pa.DataType = schema.field(outer).type
    inner = name[len(outer) + 1 :]
    for part in inner.split(".") if inner else ():
        if not pa.types.is_struct(kind) or kind.get_field_index(part) < 0:
            raise Unreadable(f"no such column: {name}; {outer} holds {kind}"[:500])
        kind = kind.field(part).type
    return kind
