"""Writes the output of cleaning: the documents, the ledger, and every line that was removed or rewritten.

Rows are written in a total order, so equal shards give equal bytes. `removed/<rule>.parquet` holds each line that a rule cut, word for
word, with its number in the text as the round found it, and each document that was too short, whole. `edits.parquet` holds each line that a
rule rewrote, before and after, and each misread word by itself. Changes of layout alone are in neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.cleaning.rules import RULE_NUMBER, RULES
from data.cleaning.state import CleaningState
from data.documents.ledger import EDITS, RemovalWriter
from data.documents.rows import RowWriter, rows_in_session
from data.documents.schema import DOCUMENTS, LEDGER
from data.documents.stream import DocumentWriter


def write_documents(state: CleaningState, output: Path) -> None:
    """Write documents.parquet: the documents that were kept, by id."""
    others = ", ".join(name for name in DOCUMENTS.names if name not in ("id", "text"))
    with DocumentWriter(output / "documents.parquet") as writer:
        for part in state.ranges("fate <> 'removed'"):
            texts = state.texts(part, "fate <> 'removed'")
            query = (
                f"SELECT id, text, {others} FROM ({texts}) JOIN state USING (d) JOIN ({state.other_columns(part)}) USING (id) ORDER BY id"
            )
            for row in rows_in_session(state.work, query):
                writer.write(row)


def write_ledger(state: CleaningState, output: Path) -> dict[str, float]:
    """Write ledger.parquet, edits.parquet and removed/; return `pieces_<rule>`, the number of edits, for each rule that made any."""
    state.work.set_variables(layout_rule=RULE_NUMBER["layout"], short_rule=RULE_NUMBER["too short"])
    state.run_file("ledger.sql")
    with RowWriter(output / "ledger.parquet", LEDGER) as ledger:
        for row in _ledger(state):
            ledger.write(row)
    _write_edits(state, output)
    counts = state.work.rows("SELECT rule, sum(pieces) FROM ledger GROUP BY rule ORDER BY rule")
    return {f"pieces_{RULES[int(str(rule))].name.replace(' ', '_')}": float(str(count)) for rule, count in counts}


def _ledger(state: CleaningState) -> Iterator[dict[str, Any]]:
    query = "SELECT id, rule, pieces, characters, net FROM account JOIN state USING (d) ORDER BY d, rule NULLS LAST"
    for row in rows_in_session(state.work, query):
        rule = None if row["rule"] is None else RULES[row["rule"]]
        yield {
            "id": row["id"], "stage": "clean", "action": rule.action if rule else "kept", "rule": rule.name if rule else "document",
            "count": row["pieces"], "characters": row["characters"], "net": row["net"], "detail": "",
        }  # fmt: skip


def _write_edits(state: CleaningState, output: Path) -> None:
    query = "FROM edits JOIN state USING (d) WHERE line IS NOT NULL ORDER BY d, edits.round, rule, n, edits.place, inner_place"
    with RowWriter(output / "edits.parquet", EDITS) as edits:
        for row in rows_in_session(state.work, f"SELECT id, edits.round AS round, rule, n AS place, before, line AS after {query}"):
            edits.write(row | {"rule": RULES[row["rule"]].name})
    with RemovalWriter(output) as removed:
        query = "FROM edits JOIN state USING (d) WHERE line IS NULL ORDER BY rule, d, n, edits.round"
        for row in rows_in_session(state.work, f"SELECT id, edits.round AS round, rule, n AS place, before {query}"):
            removed.write(RULES[row["rule"]].name, row["id"], row["place"], row["before"], f"round {row['round']}")
        for part in state.ranges("fate = 'removed'"):
            texts = state.texts(part, "fate = 'removed'")
            for row in rows_in_session(state.work, f"SELECT id, text FROM ({texts}) JOIN state USING (d) ORDER BY id"):
                removed.write("too short", row["id"], 0, row["text"], "")
