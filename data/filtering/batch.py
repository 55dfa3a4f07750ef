"""Batches of documents passing through the filters, with an account of what happens to each.

Later steps never see a removed document. Cuts, edits and removals are recorded in the order they happen, so the account of a document adds
up. Memory: three copies of the texts of one batch.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from data.documents.database import Database
from data.filtering.sql import SQL

# White space as Python's str.split defines it, except the space and the line end; a pattern for RE2.
WHITE = r"[\t\v\f\r\x1c-\x1f\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]"


@dataclass(slots=True)
class TrackedDocument:
    """A document: its current row, and what the filters have done to it so far."""

    row: dict[str, Any]
    number: int
    removal: tuple[str, str] | None = None
    account: list[dict[str, Any]] = field(default_factory=list)
    cuts: list[tuple[str, int, str]] = field(default_factory=list)
    edits: list[dict[str, Any]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Its current text."""
        text: str = self.row["text"]
        return text

    @property
    def metadata(self) -> dict[str, Any]:
        """Its metadata, parsed."""
        metadata: dict[str, Any] = json.loads(self.row["metadata"])
        return metadata

    def label(self, **labels: object) -> None:
        """Add labels to its metadata."""
        self.row["metadata"] = json.dumps(self.metadata | labels, ensure_ascii=False, sort_keys=True)

    def remove(self, rule: str, detail: str) -> None:
        """Mark it as removed by `rule`."""
        self.removal = (rule, detail)

    def note(self, action: str, rule: str, count: int, characters: int, net: int, detail: str = "") -> None:
        """Add a row to the ledger, before the closing one."""
        self.account.append({"action": action, "rule": rule, "count": count, "characters": characters, "net": net, "detail": detail})


class Batch:
    """A batch of documents, and table `plain` with their texts for SQL, by number; see sql/plain_texts.sql."""

    def __init__(self, work: Database, rows: list[dict[str, Any]]) -> None:
        self.work = work
        self.documents = [TrackedDocument(row, number) for number, row in enumerate(rows)]
        self._current = False

    @property
    def remaining(self) -> list[TrackedDocument]:
        """The documents that no rule has removed, in order."""
        return [document for document in self.documents if document.removal is None]

    def mark_changed(self) -> None:
        """Mark the texts as changed; `load` then fills table `plain` again."""
        self._current = False

    def load(self) -> None:
        """Fill table `plain` with the current texts, unless it has them; documents removed since may still be in it."""
        if not self._current:
            remaining = self.remaining
            numbers = pa.array([document.number for document in remaining], pa.int32())
            texts = pa.array([document.text for document in remaining], pa.string())
            self.work.run_on_batch(SQL / "plain_texts.sql", pa.table({"n": numbers, "text": texts}))
            self._current = True

    def plain(self) -> pa.Table:
        """Return table `plain`: `n` and `text`, ordered by n."""
        self.load()
        return self.work.table("SELECT n, text FROM plain ORDER BY n")

    def rows(self, query: str) -> list[tuple[TrackedDocument, dict[str, Any]]]:
        """Return the rows of a query with column `n`, each with its document, leaving out removed documents."""
        found = self.work.table(query).to_pylist()
        pairs = ((self.documents[row["n"]], row) for row in found)
        return [(document, row) for document, row in pairs if document.removal is None]


Step = Callable[[Batch], None]  # one group of rules: labels, changes or removes the remaining documents of a batch
