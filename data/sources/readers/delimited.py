"""Records in text: CSV and TSV, JSON, and JSON Lines."""

from __future__ import annotations

import csv
import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import IO, Any

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
NO_DELIMITER = "\x1f"  # of a single column nothing says what would part it from others; this is in no text

# The csv module's limit of 128 KB per field is process-wide; `_RowLines` enforces the limit of a document instead.
csv.field_size_limit(1 << 40)


def read_delimited(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield a record for each row that isn't blank. Raise Unreadable if the header lacks a column or there is no row.

    A quote that isn't closed where it should be costs the lines before the next one that is a whole row by itself. In a table of tabs,
    where quotes are often plain letters, it costs nothing."""
    lines = read_lines(stream, options)
    first = next(lines, None)
    if first is None or first.fault:
        raise Unreadable(f"no header: {first.fault if first and first.fault else 'the file is empty'}")
    delimiter, columns = _header(first.text, options)
    taken = _RowLines(lines, options.limit)
    number = 0
    for row, fault in _rows(taken, delimiter, columns, options.text_field):
        number += 1
        name = name_by_number(number, options)
        if fault:
            if wanted(name):
                yield BrokenRecord(fault, name)
        elif found := build_record(dict(zip(columns, row, strict=True)), number, options, wanted, taken.encoding):
            yield found
    if not number:
        raise Unreadable("empty: a header and no row")


def _rows(taken: _RowLines, delimiter: str, columns: list[str], text_field: str) -> Iterator[tuple[list[str], str]]:
    """Yield each row that isn't blank, or what is wrong with it."""
    rows = csv.reader(taken, delimiter=delimiter, strict=True)
    while True:
        taken.start()
        fault = ""
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            # The parser keeps what it had read of the row.
            row, rows = [], csv.reader(taken, delimiter=delimiter, strict=True)
            fault = f"broken record: {error}, in the row that begins in line {taken.lines[0].number}"
        if not row and not fault:
            continue
        if not fault and len(row) != len(columns):
            fault = f"broken record: {len(row)} fields under {len(columns)} columns"
        if not fault and len(taken.lines) > 1:
            others = [field for name, field in zip(columns, row, strict=True) if name != text_field]
            if any(_whole(line, delimiter, len(columns)) for field in others for line in field.split("\n")[1:]):
                fault = f"broken record: a quote takes in other rows, in the row that begins in line {taken.lines[0].number}"
        if fault and (len(taken.lines) > 1 or delimiter == "\t"):
            plain = taken.lines[0].text.rstrip("\r\n").split("\t") if delimiter == "\t" else []
            if len(plain) == len(columns) and not taken.lines[0].fault:
                taken.give_back(1)
                yield plain, ""
                continue
            whole = (n for n, line in enumerate(taken.lines) if n and _whole(line.text, delimiter, len(columns)))
            taken.give_back(next(whole, len(taken.lines)))
            if len(taken.lines) > 1:
                fault += f"; {len(taken.lines)} lines, {sum(len(line.text) for line in taken.lines):,} characters"
        yield row, taken.fault or fault


def _whole(line: str, delimiter: str, size: int) -> bool:
    """Return whether a line is a row by itself. With one column any line would be."""
    try:
        return len(next(csv.reader([line], delimiter=delimiter, strict=True), [])) == size and (size > 1 or bool(line.strip()))
    except csv.Error:
        return False


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
    return delimiter if len(columns) > 1 else NO_DELIMITER, columns


class _RowLines(Iterator[str]):
    """Passes lines to the csv parser, remembers those of the row, and limits how many characters it may take."""

    def __init__(self, lines: Iterator[TextLine], limit: int) -> None:
        self._source, self._limit, self._size = lines, limit, 0
        self._again = deque[TextLine]()
        self.lines: list[TextLine] = []

    def start(self) -> None:
        """Begin a new row."""
        self._size, self.lines = 0, []

    @property
    def fault(self) -> str:
        """The fault of the first of the row's lines that can't be used."""
        return next((line.fault for line in self.lines if line.fault), "")

    @property
    def encoding(self) -> str:
        """The encoding of the first of the row's lines that isn't UTF-8."""
        return next((line.encoding for line in self.lines if line.encoding != "utf-8"), "utf-8")

    def give_back(self, kept: int) -> None:
        """Keep the first lines of the row; read the others again."""
        self._again.extendleft(reversed(self.lines[kept:]))
        del self.lines[kept:]

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._source)
        self.lines.append(line)
        self._size += len(line.text)
        if self._size > 2 * self._limit:
            raise csv.Error(f"its quotes don't end within {2 * self._limit} characters")
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
        for value in ijson.items(rejoined, "item" if array else "", multiple_values=not array, map_type=_Fields):
            number += 1
            if not isinstance(value, dict):
                name = name_by_number(number, options)
                if wanted(name):
                    kind = "float" if isinstance(value, Decimal) else type(value).__name__
                    yield BrokenRecord(f"broken record: not a JSON object but a {kind}", name)
            elif fault := _named_twice(value, options):
                name = name_by_number(number, options)
                if wanted(name):
                    yield BrokenRecord(fault, name)
            elif found := build_record(value, number, options, wanted, "utf-8"):
                yield found
    except (ijson.JSONError, UnicodeError, RecursionError) as error:
        raise Unreadable(f"damaged json: after record {number}: {error}") from error
    if not number:
        raise Unreadable("empty: no object")


class _Fields(dict[str, Any]):
    """An object of JSON that remembers which of its names came again: of those with one name the last is kept."""

    def __init__(self, pairs: Iterable[tuple[str, Any]] = ()) -> None:
        super().__init__()
        self.again = Counter[str]()
        for name, value in pairs:
            self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self:
            self.again[name] += 1
        super().__setitem__(name, value)


def _named_twice(value: object, options: ReaderOptions) -> str:
    """Return what is wrong with an object two fields of which have a name that the recipe asks for; "" if nothing is."""
    for field in (options.text_field, options.id_field, options.title_field):
        inside, rest = value, "" if options.whole or field is None else field
        while rest and isinstance(inside, _Fields):
            name, _, rest = (rest, "", "") if rest in inside else rest.partition(".")
            if inside.again[name]:
                return f"broken record: {inside.again[name] + 1} fields are called {name!r}, and JSON keeps the last alone"
            inside = inside.get(name)
    return ""


def _asked_twice(line: str, options: ReaderOptions) -> bool:
    """Return whether a line may have two fields of a name that is asked for. Most have none, and needn't be read again."""
    asked = {part for field in (options.text_field, options.id_field, options.title_field) if field for part in (field, *field.split("."))}
    return any(line.count(f'"{name}"') > 1 for name in asked)


def read_jsonl(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield a record for each line that isn't blank. Raise Unreadable if there is none."""
    found_any = False
    for line in read_lines(stream, options):
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
        elif not fault and not options.whole and _asked_twice(line.text, options):
            fault = _named_twice(json.loads(line.text, object_pairs_hook=_Fields), options)
        if fault:
            if wanted(name):
                yield BrokenRecord(fault, name)
        elif isinstance(value, dict) and (found := build_record(value, line.number, options, wanted, line.encoding)):
            yield found
    if not found_any:
        raise Unreadable("empty: no line but blank ones")
