"""Parquet: a record a row, read a row group at a time. The number of a record is that of its row.

Memory: a batch of at most ROWS rows, cut so that it holds about BATCH bytes. Texts that unpack to far more than the file allows are refused
while they are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from data.sources.compression import refuse_bomb
from data.sources.errors import Unreadable
from data.sources.readers.fields import numbered, record_of, require_columns
from data.sources.readers.record import Broken, Found, Options, Wanted

ROWS, BATCH = 256, 16 << 20
ROWS_A_BYTE = 1000
"""More rows than this for each byte of a file hold nothing."""


def read_parquet(stream: IO[bytes], options: Options, wanted: Wanted) -> Iterator[Found]:
    """A record a row; the stream must be a file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(stream, pre_buffer=False, buffer_size=1 << 20) as file:
            yield from _rows(file, stream.seek(0, 2), options, wanted)
    except (pa.ArrowException, OSError) as error:
        raise Unreadable(f"damaged parquet: {error}") from error


def _rows(file: object, size: int, options: Options, wanted: Wanted) -> Iterator[Found]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    assert isinstance(file, pq.ParquetFile)
    schema, metadata = file.schema_arrow, file.metadata
    require_columns(schema.names, options)
    kind = schema.field(options.text_field).type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_dictionary(kind)):
        raise Unreadable(f"no text: column {options.text_field!r} holds {kind}")
    if metadata.num_rows > ROWS_A_BYTE * size:
        raise Unreadable(f"hostile parquet: {metadata.num_rows} rows in {size} bytes")
    columns = list(dict.fromkeys(name for name in (options.text_field, options.id_field, options.title_field) if name is not None))
    number = unpacked = 0
    for group in range(metadata.num_row_groups):
        held = metadata.row_group(group)
        rows = max(1, min(ROWS, BATCH * held.num_rows // max(held.total_byte_size, 1)))
        for batch in file.iter_batches(batch_size=rows, row_groups=[group], columns=columns, use_threads=False):
            unpacked += batch.nbytes
            refuse_bomb("parquet", unpacked, size)
            arrays = {name: batch.column(name) for name in columns}
            for row in range(batch.num_rows):
                number += 1
                name = numbered(number, options)
                if options.id_field is None and not wanted(name):
                    continue
                try:
                    fields = {name: array[row].as_py() for name, array in arrays.items()}
                except UnicodeDecodeError as error:
                    if wanted(name):
                        yield Broken(f"not utf-8: {error}", name)
                    continue
                if found := record_of(fields, number, options, wanted):
                    yield found
