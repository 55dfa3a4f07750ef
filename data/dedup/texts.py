"""The texts as the rules so far have left them, and the account of what each rule cut.

A changed text is kept in the database and replaces the original from then on, so a rule never copies the corpus. Documents are
numbered in the order of their ids, from `first`. Memory holds one batch.

Cuts repeated units out of a text and keeps the rest readable.

A cut includes everything up to the next unit that stays, and extends to the surrounding spaces, so an opening quote is cut with its
word. Where there is a paragraph break on either side of a cut, the wider of the two breaks is kept.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from re import Pattern
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from data.documents.database import Database
from data.documents.ledger import RemovalWriter
from data.documents.stream import batches
from data.documents.words import spans

Spans = list[tuple[int, int]]


class Repeat(NamedTuple):
    """`size` units of a text to cut, from the `first` (counted from 1), and why; `origins` are the documents that hold them first."""

    first: int
    size: int
    detail: str = ""
    origins: tuple[str, ...] = ()


class RemovedText(NamedTuple):
    """A text that was cut: the position of its first unit (from 1), the text itself, and why."""

    place: int
    text: str
    detail: str


def split_spans(text: str, separator: Pattern[str]) -> Spans:
    """Return start and end, in characters, of each stretch between separators, empty ones included."""
    edges = [0, *(edge for match in separator.finditer(text) for edge in match.span()), len(text)]
    return list(zip(edges[::2], edges[1::2], strict=True))


def cut(text: str, repeats: Iterable[Repeat], units: Callable[[str], Spans] = spans) -> tuple[str, list[RemovedText]]:
    """Return `text` without the repeats, and what was removed, in order. `units` finds the units that repeats count, by default words."""
    unit_spans = units(text)
    kept: list[str] = []
    removed: list[RemovedText] = []
    space, position = "", 0
    for repeat in sorted(repeats):
        end = _cut_end(text, unit_spans, repeat.first + repeat.size - 1)
        start = max(_word_start(text, unit_spans[repeat.first - 1][0]), position)
        if end <= start:
            continue
        before, gone = text[position:start], text[start:end]
        if body := before.rstrip():
            kept += (space, body)
            space = ""
        space += before[len(body) :]
        ending = gone[len(gone.rstrip()) :]
        if (kept or space) and ending.count("\n") > space.count("\n"):
            space = ending
        removed.append(RemovedText(repeat.first, gone, repeat.detail))
        position = end
    return "".join(kept) + (space + text[position:] if position < len(text) else ""), removed


def _word_start(text: str, position: int) -> int:
    """Return where the run of non-space characters around `position` begins: an opening quote belongs to its word."""
    while position > 0 and not text[position - 1].isspace():
        position -= 1
    return position


def _cut_end(text: str, unit_spans: Sequence[tuple[int, int]], following: int) -> int:
    """Return where the next unit that isn't blank begins."""
    while following < len(unit_spans) and not text[slice(*unit_spans[following])].strip():
        following += 1
    return _word_start(text, unit_spans[following][0]) if following < len(unit_spans) else len(text)


_EDITED = pa.schema([pa.field(name, pa.string() if name == "text" else pa.int64()) for name in ("number", "turn", "text")])
_CUT = pa.schema(
    [
        pa.field(name, pa.string() if name in ("rule", "detail") else pa.int64())
        for name in ("number", "turn", "rule", "pieces", "net", "detail")
    ]
)
MOST_ORIGINS = 20


class Texts:
    """Reads `documents`, in ascending order of ids, and cuts repeats from them; the cut text goes to `removed`."""

    def __init__(self, work: Database, documents: Sequence[Path], removed: RemovalWriter, first: int = 0) -> None:
        self._work, self._documents, self.removed, self._first = work, documents, removed, first
        self._turn = 0
        for name, schema in (("edited", _EDITED), ("cut", _CUT)):
            work.connection.register("no_rows", schema.empty_table())
            work.connection.execute(f"CREATE TABLE {name} AS FROM no_rows")
            work.connection.unregister("no_rows")

    def batches(self, columns: tuple[str, ...] = ("id", "text")) -> Iterator[pa.Table]:
        """Yield tables of whole documents in order, of about 16 MB, with a column `number` added to `columns`, which must include text."""
        first = self._first
        for batch in batches(self._documents, columns):
            numbers = np.arange(first, first + batch.num_rows, dtype=np.int64)
            yield self._changed(batch.append_column("number", pa.array(numbers)))
            first += batch.num_rows

    def rows(self, query: str, batch: pa.Table) -> list[tuple[Any, ...]]:
        """Return the rows of a query, with $first and $last bound to the numbers of a batch."""
        return self._work.connection.execute(query, _bounds(batch)).fetchall()

    def table(self, query: str, batch: pa.Table) -> pa.Table:
        """Return the same as `rows`, as a table."""
        result: pa.Table = self._work.connection.sql(query, params=_bounds(batch)).to_arrow_table()
        return result

    def start_rule(self, turn: int | None = None) -> None:
        """Start a new rule: its cuts apply to what earlier rules left, and follow theirs in the ledger. `turn`: by default the next."""
        self._turn = self._turn + 1 if turn is None else turn

    def cut(self, rule: str, batch: pa.Table, repeats: Mapping[int, Sequence[Repeat]], units: Callable[[str], Spans] = spans) -> pa.Table:
        """Return the batch without the repeats of its documents (by number), and account for them as cut by `rule`."""
        if not repeats:
            return batch
        edited: list[dict[str, Any]] = []
        account: list[dict[str, Any]] = []
        texts, names = _column(batch, "text"), _column(batch, "id")
        for row, (number, name) in enumerate(zip(_column(batch, "number"), names, strict=True)):
            if number not in repeats:
                continue
            before = texts[row]
            texts[row], gone = cut(before, repeats[number], units)
            for removed in gone:
                self.removed.write(rule, name, *removed)
            edited.append({"number": number, "turn": self._turn, "text": texts[row]})
            size = {"pieces": len(gone), "net": len(before) - len(texts[row]), "detail": _origins(repeats[number])}
            account.append({"number": number, "turn": self._turn, "rule": rule, **size})
        self.insert("edited", pa.Table.from_pylist(edited, schema=_EDITED))
        self.insert("cut", pa.Table.from_pylist(account, schema=_CUT))
        return _with_texts(batch, texts)

    def insert(self, table: str, rows: pa.Table) -> None:
        """Append rows to a table of the database."""
        self._work.connection.register("new_rows", rows)
        try:
            self._work.connection.execute(f"INSERT INTO {table} SELECT * FROM new_rows")
        finally:
            self._work.connection.unregister("new_rows")

    def _changed(self, batch: pa.Table) -> pa.Table:
        newest = "SELECT number, arg_max(text, turn) FROM edited WHERE number BETWEEN $first AND $last GROUP BY number"
        changed = dict(self.rows(newest, batch))
        if not changed:
            return batch
        pairs = zip(_column(batch, "number"), _column(batch, "text"), strict=True)
        return _with_texts(batch, [changed.get(number, text) for number, text in pairs])


def by_document(rows: Sequence[tuple[Any, ...]]) -> dict[int, list[Repeat]]:
    """Group rows (number, first, size, detail and, optionally, the document that holds it first) into repeats by number."""
    repeats: defaultdict[int, list[Repeat]] = defaultdict(list)
    for number, first, size, detail, *origins in rows:
        repeats[number].append(Repeat(first, size, detail, tuple(origins)))
    return dict(repeats)


def _column(batch: pa.Table, name: str) -> list[Any]:
    return batch[name].to_pylist()


def _bounds(batch: pa.Table) -> dict[str, int]:
    numbers: Any = batch["number"]
    return {"first": numbers[0].as_py(), "last": numbers[-1].as_py()}


def _with_texts(batch: pa.Table, texts: list[str]) -> pa.Table:
    return batch.set_column(batch.column_names.index("text"), "text", pa.array(texts, pa.string()))


def _origins(repeats: Sequence[Repeat]) -> str:
    """Name the documents that hold the first copies, those with the most first."""
    counts = Counter(name for repeat in repeats for name in repeat.origins)
    names = sorted(counts, key=lambda name: (-counts[name], name))
    more = f" and {len(names) - MOST_ORIGINS} more" if len(names) > MOST_ORIGINS else ""
    return f"first in {', '.join(names[:MOST_ORIGINS])}{more}" if names else ""
