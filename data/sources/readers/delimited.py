"""Records in text: CSV and TSV, JSON, and JSON Lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import IO

from data.sources.archives.compression import stream_from
from data.sources.decode import BYTE_ORDER_MARKS
from data.sources.errors import Unreadable
from data.sources.readers.record import (
    BrokenRecord,
    ReaderOptions,
    ReaderOutput,
    RecordFilter,
    TextLine,
    build_record,
    name_by_number,
    read_lines,
    require_columns,
)

DELIMITERS = ",\t;|"

# The csv module's limit of 128 KB per field is process-wide; `_RowLines` enforces the limit of a document instead.
csv.field_size_limit(1 << 40)


def read_delimited(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield a record for each row that isn't blank. Raise Unreadable if the header lacks a column or a row doesn't end."""
    lines, encoding = read_lines(stream, options)
    first = next(lines, None)
    if first is None or first.fault:
        raise Unreadable(f"no header: {first.fault if first and first.fault else 'the file is empty'}")
    delimiter, columns = _header(first.text, options)
    row_lines = _RowLines(lines, options.limit)
    rows = csv.reader(row_lines, delimiter=delimiter, strict=True)
    number = 0
    while True:
        number += 1
        name = name_by_number(number, options)
        row_lines.start()
        try:
            row = next(rows)
            while not row:
                row = next(rows)
        except StopIteration:
            if number == 1:
                raise Unreadable("empty: a header and no row") from None
            return
        except csv.Error as error:
            if wanted(name):
                yield BrokenRecord(f"broken record: {error}, in the row that begins in line {row_lines.began}", name)
            continue
        if row_lines.fault or len(row) != len(columns):
            fault = row_lines.fault or f"broken record: {len(row)} fields under {len(columns)} columns"
            if wanted(name):
                yield BrokenRecord(fault, name)
        elif found := build_record(dict(zip(columns, row, strict=True)), number, options, wanted, encoding):
            yield found


def _header(line: str, options: ReaderOptions) -> tuple[str, list[str]]:
    """Return the delimiter and the column names."""
    found: list[tuple[str, list[str]]] = []
    for delimiter in DELIMITERS:
        try:
            found.append((delimiter, next(csv.reader([line], delimiter=delimiter, strict=True), [])))
        except csv.Error:
            continue
    if not found:
        raise Unreadable("no header: the quotes in the first line are broken")
    delimiter, columns = max(found, key=lambda item: (options.text_field in item[1], len(item[1])))
    require_columns(columns, options)
    if repeated := next((name for name in columns if name and columns.count(name) > 1), None):
        raise Unreadable(f"no header: two columns are called {repeated}")
    return delimiter, columns


class _RowLines:
    """Passes lines to the csv parser and limits how many characters one row may take."""

    def __init__(self, lines: Iterator[TextLine], limit: int) -> None:
        self._lines, self._limit, self._size = lines, limit, 0
        self.began, self.fault, self._at_row_start = 0, "", True

    def start(self) -> None:
        """Begin a new row."""
        self._size, self.fault, self._at_row_start = 0, "", True

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        if self._at_row_start:
            self.began, self._at_row_start = line.number, False
        self.fault = self.fault or line.fault
        self._size += len(line.text)
        if self._size > 2 * self._limit:
            raise Unreadable(f"broken quotes: the row that begins in line {self.began} doesn't end within {2 * self._limit} characters")
        return "\n" if line.fault.startswith("too large") else line.text


BLOCK = 1 << 16


def read_json(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield a record for each object. Raise Unreadable if the file is not JSON, or is cut off."""
    import ijson

    head = stream.read(BLOCK)
    head = next((head[len(mark) :] for mark, name in BYTE_ORDER_MARKS if name == "utf-8-sig" and head.startswith(mark)), head)
    rest = [head]
    rejoined = stream_from(lambda size: rest.pop() if rest else stream.read(min(size, BLOCK)))
    array = head.lstrip().startswith(b"[")
    number = 0
    try:
        for value in ijson.items(rejoined, "item" if array else "", multiple_values=not array):
            number += 1
            if not isinstance(value, dict):
                name = name_by_number(number, options)
                if wanted(name):
                    kind = "float" if isinstance(value, Decimal) else type(value).__name__
                    yield BrokenRecord(f"broken record: not a JSON object but a {kind}", name)
            elif found := build_record(value, number, options, wanted, "utf-8"):
                yield found
    except (ijson.JSONError, UnicodeError, RecursionError) as error:
        raise Unreadable(f"damaged json: after record {number}: {error}") from error
    if not number:
        raise Unreadable("empty: no object")


def read_jsonl(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield a record for each line that isn't blank. Raise Unreadable if there is none."""
    lines, encoding = read_lines(stream, options)
    found_any = False
    for line in lines:
        name = name_by_number(line.number, options)
        if not line.text.strip():
            continue
        found_any = True
        if options.id_field is None and not wanted(name):
            continue
        fault, value = line.fault, None
        if not fault:
            try:
                value = json.loads(line.text)
            except RecursionError:
                fault = "broken record: nested too deeply"
            except ValueError as error:
                fault = f"broken record: not JSON: {error}"
        if not fault and not isinstance(value, dict):
            fault = "broken record: not a JSON object"
        if fault:
            if wanted(name):
                yield BrokenRecord(fault, name)
        elif isinstance(value, dict) and (found := build_record(value, line.number, options, wanted, encoding)):
            yield found
    if not found_any:
        raise Unreadable("empty: no line but blank ones")
