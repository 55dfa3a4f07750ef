"""What became of every document and of every piece of text: the files that a stage leaves beside its documents.

`ledger.parquet` has one closing row a document that came in (action kept, removed, duplicate or quarantined) and one row for each rule
that changed it, before that. `removed/<rule>.parquet` holds what a rule took away, word for word; `edits.parquet` what it wrote instead.

Guarantees: `require_balance` finds every stage that lost a character without saying so: for each document, characters in = characters
out + the sum of `net` over its rows. Costs one pass over lengths. Memory of a writer is one row group.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from data.documents.database import Workspace, parquet
from data.documents.group import RowWriter

# place: where it stood, counted from 1, in the rule's own unit (line, paragraph, word or character); 0: the whole document.
REMOVED = pa.schema([pa.field(name, pa.int64() if name == "place" else pa.string()) for name in ("id", "place", "text", "detail")])
# round: which pass of the rules, from 1. place: the line, from 1, as it was counted when the rule saw it.
EDITS = pa.schema(
    [
        pa.field(name, pa.int64() if name in ("round", "place") else pa.string())
        for name in ("id", "round", "rule", "place", "before", "after")
    ]
)
CLOSING = ("kept", "removed", "duplicate", "quarantined")


class Unbalanced(AssertionError):
    """A stage did not account for a document; the message names it."""


class Removed:
    """`removed/<rule>.parquet` of a stage, a file a rule that took something. Rows of a rule must come ordered by (id, place)."""

    def __init__(self, output: Path) -> None:
        self._folder = output / "removed"
        self._writers: dict[str, RowWriter] = {}

    def write(self, rule: str, identity: str, place: int, text: str, detail: str = "") -> None:
        """Keep a removed piece of text."""
        if rule not in self._writers:
            self._writers[rule] = RowWriter(self._folder / f"{rule.replace(' ', '_')}.parquet", REMOVED)
        self._writers[rule].write({"id": identity, "place": place, "text": text, "detail": detail})

    def __enter__(self) -> Removed:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for writer in self._writers.values():
            writer.close(whole=kind is None)


def require_balance(work: Workspace, stage: str, came: Sequence[Path], stayed: Sequence[Path], ledger: Path) -> None:
    """Go on only if the ledger accounts for every document and character between two sets of documents.parquet.

    Raises Unbalanced with the stage, the first document that doesn't add up, and by how much."""
    if fault := imbalance(work, stage, sizes(came), sizes(stayed), parquet([ledger])):
        raise Unbalanced(fault)


def sizes(documents: Sequence[Path]) -> str:
    """SQL of (id, size in characters) of the documents of some files."""
    return f"(SELECT id, length(text)::BIGINT AS size FROM {parquet(documents)})"


def imbalance(work: Workspace, stage: str, came: str, stayed: str, ledger: str) -> str:
    """What `require_balance` would raise, or "". Takes tables or SQL: `came` and `stayed` of (id, size), `ledger` with its columns."""
    closing = ", ".join(f"'{action}'" for action in CLOSING)
    found = work.connection.execute(
        f"""WITH came AS (SELECT id, sum(size)::BIGINT AS size FROM {came} GROUP BY id),
        stayed AS (SELECT id, sum(size)::BIGINT AS size, count(*) AS times FROM {stayed} GROUP BY id),
        account AS (
            SELECT id, sum(net)::BIGINT AS net, count(*) FILTER (action IN ({closing})) AS fates, bool_or(action = 'kept') AS kept
            FROM {ledger} GROUP BY id),
        -- What one of the three doesn't name is nothing there, never unknown: a comparison with NULL would let it pass.
        compared AS (
            SELECT id, c.id IS NOT NULL AS came, s.id IS NOT NULL AS stayed, coalesce(c.size, 0) AS given, coalesce(s.size, 0) AS left_over,
                   coalesce(s.times, 1) AS times, coalesce(a.net, 0) AS net, coalesce(a.fates, 0) AS fates, coalesce(a.kept, false) AS kept
            FROM came c FULL JOIN stayed s USING (id) FULL JOIN account a USING (id))
        SELECT id, given, left_over, net, fates FROM compared
        WHERE NOT came OR fates <> 1 OR kept <> stayed OR given - left_over <> net OR times <> 1
        ORDER BY id LIMIT 1"""
    ).fetchone()
    if found is None:
        return ""
    name, given, left, net, fates = found
    return (
        f"{stage} does not account for document {name}: {given} characters came, {left} stayed, its ledger says {net} went, "
        f"in {fates} closing rows instead of 1"
    )
