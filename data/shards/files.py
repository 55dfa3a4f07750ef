"""One Arrow IPC file of rows: a single record batch, nothing compressed, nothing null, so a reader maps it and sees the values in place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.shards.durable import file_digest
from data.shards.metadata import ShardFile
from data.shards.schema import Array, Column, Columns, ShardError, arrow_schema, read_columns

if TYPE_CHECKING:
    import pyarrow as pa


def require_digest(directory: Path, file: ShardFile) -> None:
    """Hash a file again; raise ShardError if it is not what was written."""
    digest = file_digest(directory / file.name)
    if digest != file.sha256:
        raise ShardError(
            f"{directory / file.name} has digest {digest[:12]}, shards.json says {file.sha256[:12]}: the file was changed or damaged; "
            "write the rows again"
        )


def write_file(path: Path, described: tuple[Column, ...], columns: Columns) -> ShardFile:
    """Write the columns, [rows, *shape] each, as one file. Equal columns give equal bytes."""
    import pyarrow as pa

    lists: Any = pa.FixedSizeListArray  # the stubs know no from_arrays with a type
    schema = arrow_schema(described)
    arrays = []
    for column in described:
        array: Any = pa.array(np.ascontiguousarray(columns[column.name]).reshape(-1))
        kinds: list[Any] = []
        kind: Any = schema.field(column.name).type
        for _ in column.shape:
            kinds.append(kind)
            kind = kind.value_type
        for kind in reversed(kinds):
            array = lists.from_arrays(array, type=kind)
        arrays.append(array)
    batch = pa.record_batch(arrays, schema=schema)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return ShardFile(path.name, batch.num_rows, file_digest(path))


class MappedFile:
    """A file's columns, memory-mapped; opening reads the footer only. Raise ShardError if it is damaged or has other rows than said."""

    def __init__(self, directory: Path, file: ShardFile) -> None:
        import pyarrow as pa

        self.path, self.rows = directory / file.name, file.rows
        try:
            opened = pa.ipc.open_file(pa.memory_map(str(self.path)))
            if opened.num_record_batches != 1:
                raise ShardError(f"{self.path} has {opened.num_record_batches} record batches, not one; write the rows again")
            batch = opened.get_batch(0)
        except (OSError, pa.ArrowException) as error:
            raise ShardError(f"{self.path} cannot be read ({error}); write the rows again") from error
        try:
            batch.validate()
            self.columns = {column.name: column for column in read_columns(batch.schema, self.path)}
            if batch.num_rows != file.rows:
                raise ShardError(f"{self.path} has {batch.num_rows} rows, shards.json says {file.rows}; write the rows again")
            self._values = {name: self._map(column, batch) for name, column in self.columns.items()}
        except (pa.ArrowException, UnicodeDecodeError, KeyError) as error:
            require_digest(directory, file)
            raise ShardError(f"{self.path} cannot be read ({error}); write the rows again") from error

    def view(self, name: str) -> Array:
        """Return a column as stored, [rows, *shape], without a copy; KeyError for flags, which are stored as bits."""
        if name not in self.columns or self.columns[name].dtype == np.bool_:
            raise KeyError(f"{self.path}: {name!r} can't be viewed without a copy; flags are bits, read them with rows()")
        return self._values[name]

    def read(self, name: str, rows: Array) -> Array:
        """Return these rows (int64 [N]) of a column, copied: [N, *shape]."""
        column, values = self.columns[name], self._values[name]
        if column.dtype != np.bool_:
            return np.asarray(values[rows])
        return _bits(values, rows, column.size).reshape(len(rows), *column.shape)

    def _map(self, column: Column, batch: pa.RecordBatch) -> Array:
        values: Any = batch.column(column.name)
        nulls = values.null_count
        for _ in column.shape:
            values = values.flatten()
            nulls += values.null_count
        if nulls or len(values) != self.rows * column.size:
            raise ShardError(
                f"{self.path}: {column.name} has {len(values)} values of which {nulls} are null, not {self.rows} rows of {column.size}; "
                "write the rows again"
            )
        if column.dtype == np.bool_:
            return np.frombuffer(values.buffers()[1], dtype=np.uint8)
        return np.asarray(values.to_numpy(zero_copy_only=True).reshape(self.rows, *column.shape))


def _bits(packed: Array, rows: Array, width: int) -> Array:
    """Unpack rows of a bit-packed boolean column, in which a row may begin inside a byte; bool [len(rows), width]."""
    first, skip = np.divmod(rows * width, 8)
    covering = np.minimum(first[:, None] + np.arange((width + 14) // 8), len(packed) - 1)
    bits = np.unpackbits(packed[covering], axis=1, bitorder="little")
    out = np.empty((len(rows), width), dtype=np.bool_)
    for start in np.unique(skip).tolist():
        same = skip == start
        out[same] = bits[same, start : start + width]
    return out
