"""The documents as the rules so far have left them, and the account of what the rules cut.

A changed text is kept in the workspace's database and stands in for the original from then on, so a rule costs no copy of the corpus.
Documents are numbered in the order of their ids. Memory holds one batch.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data.dedup.cutting import Run, Spans, cut
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
NAMED = 20


class Texts:
    """Reads `documents`, whose ids ascend, and cuts from them; `removed` keeps what goes."""

    def __init__(self, work: Database, documents: Sequence[Path], removed: RemovalWriter) -> None:
        self._work, self._documents, self.removed = work, documents, removed
        self._turn = 0
        for name, schema in (("edited", _EDITED), ("cut", _CUT)):
            work.connection.register("no_rows", schema.empty_table())
            work.connection.execute(f"CREATE TABLE {name} AS FROM no_rows")
            work.connection.unregister("no_rows")

    def batches(self, columns: tuple[str, ...] = ("id", "text")) -> Iterator[pa.Table]:
        """Tables of whole documents by number, of about 16 MB; a column `number` comes on top of `columns`, which name text."""
        first = 0
        for batch in batches(self._documents, columns):
            numbers = np.arange(first, first + batch.num_rows, dtype=np.int64)
            yield self._changed(batch.append_column("number", pa.array(numbers)))
            first += batch.num_rows

    def rows(self, query: str, batch: pa.Table) -> list[tuple[Any, ...]]:
        """The rows of a query about the documents of a batch: its $first and $last are their numbers."""
        return self._work.connection.execute(query, _edges(batch)).fetchall()

    def table(self, query: str, batch: pa.Table) -> pa.Table:
        """As `rows`, as a table."""
        found: pa.Table = self._work.connection.sql(query, params=_edges(batch)).to_arrow_table()
        return found

    def begin(self) -> None:
        """A new rule begins: what it cuts comes after what was cut before."""
        self._turn += 1

    def cut(self, rule: str, batch: pa.Table, runs: Mapping[int, Sequence[Run]], units: Callable[[str], Spans] = spans) -> pa.Table:
        """The batch without the runs of its documents (by number), which are written down as cut by `rule`."""
        if not runs:
            return batch
        edited: list[dict[str, Any]] = []
        account: list[dict[str, Any]] = []
        texts, names = _column(batch, "text"), _column(batch, "id")
        for row, (number, name) in enumerate(zip(_column(batch, "number"), names, strict=True)):
            if number not in runs:
                continue
            before = texts[row]
            texts[row], pieces = cut(before, runs[number], units)
            for piece in pieces:
                self.removed.write(rule, name, *piece)
            edited.append({"number": number, "turn": self._turn, "text": texts[row]})
            size = {"pieces": len(pieces), "net": len(before) - len(texts[row]), "detail": _origins(runs[number])}
            account.append({"number": number, "turn": self._turn, "rule": rule, **size})
        self.insert("edited", pa.Table.from_pylist(edited, schema=_EDITED))
        self.insert("cut", pa.Table.from_pylist(account, schema=_CUT))
        return _with_texts(batch, texts)

    def insert(self, table: str, rows: pa.Table) -> None:
        """Adds rows to a table of the workspace."""
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


def by_document(rows: Sequence[tuple[Any, ...]]) -> dict[int, list[Run]]:
    """Rows (number, first, count, detail, and the document that holds it first if it is another) as runs by number."""
    runs: defaultdict[int, list[Run]] = defaultdict(list)
    for number, first, count, detail, *origins in rows:
        runs[number].append(Run(first, count, detail, tuple(origins)))
    return dict(runs)


def _column(batch: pa.Table, name: str) -> list[Any]:
    return batch[name].to_pylist()


def _edges(batch: pa.Table) -> dict[str, int]:
    numbers: Any = batch["number"]
    return {"first": numbers[0].as_py(), "last": numbers[-1].as_py()}


def _with_texts(batch: pa.Table, texts: list[str]) -> pa.Table:
    return batch.set_column(batch.column_names.index("text"), "text", pa.array(texts, pa.string()))


def _origins(runs: Sequence[Run]) -> str:
    """The documents that hold the first copies, those of most pieces first."""
    counts = Counter(name for run in runs for name in run.origins)
    names = sorted(counts, key=lambda name: (-counts[name], name))
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"first in {', '.join(names[:NAMED])}{more}" if names else ""
