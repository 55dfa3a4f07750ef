"""Documents on their way through the filters, a batch at a time, and what is noted of each.

Guarantees: a document that is removed is seen by no later step; what is cut, replaced or removed is noted in the order in which it
happened, so the account of a document adds up. Memory: the texts of one batch, three times over.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from data.documents.database import Database

SQL = Path(__file__).with_name("sql")
WHITE = r"[\t\v\f\r\x1c-\x1f\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]"
"""White space other than the space and the line end, as Python's str.split knows it; for RE2."""


@dataclass(slots=True)
class TrackedDocument:
    """One document: its row, which may still change, and what has become of it so far."""

    row: dict[str, Any]
    number: int
    fate: tuple[str, str] | None = None
    account: list[dict[str, Any]] = field(default_factory=list)
    cuts: list[tuple[str, int, str]] = field(default_factory=list)
    edits: list[dict[str, Any]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Its text as it is now."""
        text: str = self.row["text"]
        return text

    @property
    def metadata(self) -> dict[str, Any]:
        """What is known of it."""
        known: dict[str, Any] = json.loads(self.row["metadata"])
        return known

    def label(self, **known: object) -> None:
        """Adds to its metadata."""
        self.row["metadata"] = json.dumps(self.metadata | known, ensure_ascii=False, sort_keys=True)

    def remove(self, rule: str, detail: str) -> None:
        """It goes, because of `rule`."""
        self.fate = (rule, detail)

    def note(self, action: str, rule: str, count: int, characters: int, net: int, detail: str = "") -> None:
        """A row of the ledger before the closing one."""
        self.account.append({"action": action, "rule": rule, "count": count, "characters": characters, "net": net, "detail": detail})


class Batch:
    """Some documents, and table `plain` of their texts for SQL, by number; see sql/plain.sql."""

    def __init__(self, work: Database, rows: list[dict[str, Any]]) -> None:
        self.work = work
        self.documents = [TrackedDocument(row, number) for number, row in enumerate(rows)]
        self._current = False

    @property
    def alive(self) -> list[TrackedDocument]:
        """The documents that no rule has removed, in order."""
        return [document for document in self.documents if document.fate is None]

    def changed(self) -> None:
        """Texts are no longer what `plain` says."""
        self._current = False

    def load(self) -> None:
        """Makes table `plain` say what the texts are now; it may still have documents that were removed since."""
        if not self._current:
            alive = self.alive
            numbers = pa.array([document.number for document in alive], pa.int32())
            self.work.run_on_batch(
                SQL / "plain_texts.sql", pa.table({"n": numbers, "text": pa.array([d.text for d in alive], pa.string())})
            )
            self._current = True

    def plain(self) -> pa.Table:
        """Table `plain` itself: `n` and `text`, ordered."""
        self.load()
        return self.work.table("SELECT n, text FROM plain ORDER BY n")

    def rows(self, query: str) -> list[tuple[TrackedDocument, dict[str, Any]]]:
        """Rows of a query that gives `n`, each with its document, without those of documents that are gone."""
        found = self.work.table(query).to_pylist()
        pairs = ((self.documents[row["n"]], row) for row in found)
        return [(document, row) for document, row in pairs if document.fate is None]


Step = Callable[[Batch], None]
"""One group of rules: judges, labels and changes the documents that are left."""
