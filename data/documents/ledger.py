"""The account that a stage keeps of every document and every character.

`ledger.parquet` has one closing row per input document (kept, removed, duplicate or quarantined), after a row for each rule that changed
it. `removed/<rule>.parquet` holds the exact text that a rule removed, `edits.parquet` each edited line before and after.

`require_balance` catches a stage that loses a character without recording it: for each document, characters in = characters out + the sum
of `net` over its rows. It costs one pass over the lengths. A writer's memory is one row group.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from data.documents.database import Database, parquet
from data.documents.rows import RowWriter

# place: position in the document, from 1, in the rule's own unit (line, paragraph, word or character); 0: the whole document.
REMOVED = pa.schema([pa.field(name, pa.int64() if name == "place" else pa.string()) for name in ("id", "place", "text", "detail")])
# round: which pass over the rules, from 1. place: the line's number, from 1, when the rule read it.
EDITS = pa.schema(
    [
        pa.field(name, pa.int64() if name in ("round", "place") else pa.string())
        for name in ("id", "round", "rule", "place", "before", "after")
    ]
)
CLOSING = ("kept", "removed", "duplicate", "quarantined")
IN_PARTS = "passages"  # the rule of a kept document that comes out in parts, one in each of several files


class Unbalanced(AssertionError):
    """A stage does not account for a document; the message names it."""


class RemovalWriter:
    """Writes `removed/<rule>.parquet` for each rule that removed something. Add a rule's rows in order of (id, place)."""

    def __init__(self, output: Path) -> None:
        self._folder = output / "removed"
        self._writers: dict[str, RowWriter] = {}

    def write(self, rule: str, identity: str, place: int, text: str, detail: str = "") -> None:
        """Record one removed passage."""
        if rule not in self._writers:
            self._writers[rule] = RowWriter(self._folder / f"{rule.replace(' ', '_')}.parquet", REMOVED)
        self._writers[rule].write({"id": identity, "place": place, "text": text, "detail": detail})

    def __enter__(self) -> RemovalWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for writer in self._writers.values():
            writer.close(complete=kind is None)


def require_balance(database: Database, stage: str, inputs: Sequence[Path], outputs: Sequence[Path], ledger: Path) -> None:
    """Raise Unbalanced unless the ledger accounts for every document and character between two sets of documents.parquet.

    The error names the stage and the first document that doesn't add up, with its numbers."""
    if fault := imbalance(database, stage, sizes(inputs), sizes(outputs), parquet([ledger])):
        raise Unbalanced(fault)


def sizes(documents: Sequence[Path]) -> str:
    """Return SQL that gives (id, size in characters) of the documents in these files."""
    return f"(SELECT id, length(text)::BIGINT AS size FROM {parquet(documents)})"


def imbalance(database: Database, stage: str, inputs: str, outputs: str, ledger: str) -> str:
    """Return the message of `require_balance`, "" where all adds up. `inputs` and `outputs`: tables or SQL of (id, size)."""
    closing = ", ".join(f"'{action}'" for action in CLOSING)
    found = database.connection.execute(
        f"""WITH input AS (SELECT id, sum(size)::BIGINT AS size FROM {inputs} GROUP BY id),
        output AS (SELECT id, sum(size)::BIGINT AS size, count(*) AS times FROM {outputs} GROUP BY id),
        account AS (
            SELECT id, sum(net)::BIGINT AS net, count(*) FILTER (action IN ({closing})) AS closings, bool_or(action = 'kept') AS kept,
                   bool_or(rule = '{IN_PARTS}') AS in_parts
            FROM {ledger} GROUP BY id),
        -- A missing row counts as 0 characters, not NULL: a comparison with NULL would let it pass.
        compared AS (
            SELECT id, i.id IS NOT NULL AS came_in, o.id IS NOT NULL AS came_out, coalesce(i.size, 0) AS size_in,
                   coalesce(o.size, 0) AS size_out, coalesce(o.times, 1) AS times, coalesce(a.net, 0) AS net,
                   coalesce(a.closings, 0) AS closings, coalesce(a.kept, false) AS kept,
                   coalesce(a.in_parts, false) AS in_parts
            FROM input i FULL JOIN output o USING (id) FULL JOIN account a USING (id))
        SELECT id, size_in, size_out, net, closings FROM compared
        WHERE NOT came_in OR closings <> 1 OR kept <> came_out OR size_in - size_out <> net OR (times <> 1 AND NOT in_parts)
        ORDER BY id LIMIT 1"""
    ).fetchone()
    if found is None:
        return ""
    name, size_in, size_out, net, closings = found
    return (
        f"{stage} does not account for document {name}: {size_in} characters came in, {size_out} came out, its ledger records {net} "
        f"removed, in {closings} closing rows instead of 1"
    )
