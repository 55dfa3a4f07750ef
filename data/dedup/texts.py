"""The texts as the rules so far have left them, and the account of what each rule cut.

A changed text is kept in the database and replaces the original from then on, so a rule never copies the corpus. Documents are
numbered in the order of their ids, from `first`. Memory holds one batch.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data.dedup.cutting import Repeat, Spans, cut
from data.documents.database import Database
from data.documents.ledger import RemovalWriter
from data.documents.stream import batches
from data.documents.words import spans

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
