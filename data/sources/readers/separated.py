"""CSV and TSV (RFC 4180): a header with the names of columns, then a record a row. The number of a record is that of its row.

The delimiter is that of comma, tab, semicolon and bar under which the header has the columns that are asked for. Quotes that are never
closed swallow what follows, up to the limit of one document; then the rest of the file is put aside with that reason.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import IO

from data.sources.errors import Unreadable
from data.sources.readers.fields import numbered, record_of, require_columns
from data.sources.readers.lines import Line, lines_of
from data.sources.readers.record import Broken, Found, Options, Wanted

DELIMITERS = ",\t;|"

# The library's own limit of 128 KB a field holds for the whole process; here the limit of a document does.
csv.field_size_limit(1 << 40)


def read_separated(stream: IO[bytes], options: Options, wanted: Wanted) -> Iterator[Found]:
    """A record a row that isn't blank. Raises Unreadable where the header lacks a column or a row doesn't end."""
    lines, encoding = lines_of(stream, options)
    first = next(lines, None)
    if first is None or first.fault:
        raise Unreadable(f"no header: {first.fault if first and first.fault else 'the first line is no row of names'}")
    delimiter, columns = _header(first.text, options)
    feed = _Feed(lines, options.limit)
    rows = csv.reader(feed, delimiter=delimiter, strict=True)
    number = 0
    while True:
        number += 1
        name = numbered(number, options)
        feed.start()
        try:
            row = next(rows)
            while not row:
                row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            if wanted(name):
                yield Broken(f"broken record: {error}, in the row that begins in line {feed.began}", name)
            continue
        if feed.fault or len(row) != len(columns):
            fault = feed.fault or f"broken record: {len(row)} fields under {len(columns)} columns"
            if wanted(name):
                yield Broken(fault, name)
        elif found := record_of(dict(zip(columns, row, strict=True)), number, options, wanted, encoding):
            yield found


def _header(line: str, options: Options) -> tuple[str, list[str]]:
    """Delimiter and names of columns."""
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
    if twice := next((name for name in columns if name and columns.count(name) > 1), None):
        raise Unreadable(f"no header: two columns are called {twice}")
    return delimiter, columns


class _Feed:
    """Hands lines to the parser and sees how much of them one row takes."""

    def __init__(self, lines: Iterator[Line], limit: int) -> None:
        self._lines, self._limit, self._size = lines, limit, 0
        self.began, self.fault, self._fresh = 0, "", True

    def start(self) -> None:
        """A new row begins."""
        self._size, self.fault, self._fresh = 0, "", True

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        if self._fresh:
            self.began, self._fresh = line.number, False
        self.fault = self.fault or line.fault
        self._size += len(line.text)
        if self._size > 2 * self._limit:
            raise Unreadable(f"broken quotes: the row that begins in line {self.began} doesn't end within {2 * self._limit} characters")
        return "\n" if line.fault.startswith("too large") else line.text
