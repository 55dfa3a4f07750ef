"""Parquet: one record per row. A record's number is its row number. A row may hold the file of a picture or a sound, too.

Memory: a batch of at most ROWS rows and about BATCH bytes. Texts that unpack to far more than honest data could are refused while they are
read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, NamedTuple

from data.sources.archives.compression import refuse_bomb
from data.sources.errors import Unreadable
from data.sources.readers.record import (
    BrokenRecord,
    ReaderOptions,
    ReaderOutput,
    RecordFilter,
    build_record,
    field_value,
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


class PartRow(NamedTuple):
    """A row about a picture or a sound: its number, what is said of it, and its file's bytes, else the path of a file; or why not."""

    name: str
    caption: str = ""
    content: bytes | None = None
    path: str = ""
    fault: str = ""


def read_part_rows(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[PartRow]:
    """Yield the rows of a table of pictures or sounds. `options.id_field` names its column, `options.text_field` that of their captions.

    The column holds paths, the bytes of files, or structs of `bytes` and `path`, as Hugging Face's data sets have them. Rows that hold
    bytes and aren't wanted, by their numbers, are skipped unread; those with a path are all given.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    column = options.id_field or ""
    try:
        with pq.ParquetFile(stream, pre_buffer=False, buffer_size=1 << 20) as file:
            schema = file.schema_arrow
            require_columns(schema.names, options)
            _require_text(_kind(schema, options.text_field), options.text_field)
            kind = _kind(schema, column)
            held = kind.field("bytes").type if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0 else kind
            if not (_is_bytes(held) or _is_text(kind)):
                raise Unreadable(f"no file and no path: column {column!r} holds {kind}"[:500])
            for number, batch, row in _batches(file, stream.seek(0, 2), [column, options.text_field]):
                name = str(number)
                try:
                    if not wanted(name) and _holds_bytes(batch, row, column):
                        continue
                    fields = {one: batch.column(one)[row].as_py() for one in batch.schema.names}
                except UnicodeDecodeError as error:
                    yield PartRow(name, fault=f"not utf-8: {error}")
                    continue
                yield _part_row(name, field_value(fields, column), field_value(fields, options.text_field), options)
    except (pa.ArrowException, OSError) as error:
        raise Unreadable(f"damaged parquet: {error}") from error


def _part_row(name: str, value: object, caption: object, options: ReaderOptions) -> PartRow:
    content, path = value, ""
    if isinstance(value, dict):
        content, path = value.get("bytes"), value.get("path") or ""
    elif isinstance(value, str):
        content, path = None, value
    if not isinstance(caption, str) or not caption.strip():
        return PartRow(name, fault=f"no caption: field {options.text_field!r} of the row says nothing")
    if isinstance(content, bytes):
        if len(content) > options.limit:
            return PartRow(name, fault=f"too large: {len(content)} bytes, the limit is {options.limit}")
        return PartRow(name, caption.strip(), content)
    if isinstance(path, str) and path:
        return PartRow(name, caption.strip(), path=path)
    return PartRow(name, fault=f"empty: field {options.id_field!r} of the row holds no file")


def _holds_bytes(batch: pa.RecordBatch, row: int, column: str) -> bool:
    """Return whether a row has the bytes of a file, which are not copied to see that."""
    outer = column if column in batch.schema.names else column.partition(".")[0]
    value = batch.column(outer)[row]
    inner = column[len(outer) + 1 :]
    for part in inner.split(".") if inner else ():
        value = value[part] if value.is_valid else value
    if value.is_valid and not _is_bytes(value.type) and not _is_text(value.type):
        value = value["bytes"]
    return bool(value.is_valid) and _is_bytes(value.type)


def _rows(file: pq.ParquetFile, size: int, options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    schema = file.schema_arrow
    require_columns(schema.names, options)
    if not options.whole:
        _require_text(_kind(schema, options.text_field), options.text_field)
    named = schema.names if options.whole else (options.text_field, options.id_field, options.title_field)
    columns = list(dict.fromkeys(name for name in named if name is not None))
    for number, batch, row in _batches(file, size, columns):
        name = name_by_number(number, options)
        if options.id_field is None and not wanted(name):
            continue
        try:
            fields = {one: batch.column(one)[row].as_py() for one in batch.schema.names}
        except UnicodeDecodeError as error:
            if wanted(name):
                yield BrokenRecord(f"not utf-8: {error}", name)
            continue
        if found := build_record(fields, number, options, wanted):
            yield found


def _batches(file: pq.ParquetFile, size: int, columns: list[str]) -> Iterator[tuple[int, pa.RecordBatch, int]]:
    """Yield each row's number from 1, with the batch that has it and its place there. A nested column comes in the struct that holds it.

    Raise Unreadable for no row, and for far more rows or bytes than honest data of `size` bytes could have."""
    metadata = file.metadata
    if metadata.num_rows > ROWS_A_BYTE * size:
        raise Unreadable(f"hostile parquet: {metadata.num_rows} rows in {size} bytes")
    if not metadata.num_rows:
        raise Unreadable("empty: no row")
    number = unpacked = 0
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        rows = max(1, min(ROWS, BATCH * row_group.num_rows // max(row_group.total_byte_size, 1)))
        for batch in file.iter_batches(batch_size=rows, row_groups=[group], columns=columns, use_threads=False):
            unpacked += batch.nbytes
            refuse_bomb("parquet", unpacked, size)
            for row in range(batch.num_rows):
                number += 1
                yield number, batch, row


def _require_text(kind: pa.DataType, column: str) -> None:
    if not _is_text(kind):
        raise Unreadable(f"no text: column {column!r} holds {kind}"[:500])


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_dictionary))


def _is_bytes(kind: pa.DataType) -> bool:
    import pyarrow as pa

    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
    return any(test(kind) for test in tests)


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
