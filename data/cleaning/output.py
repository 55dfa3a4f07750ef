"""What cleaning leaves behind: the documents, the ledger, every line that went and every line that was written anew.

Guarantees: rows stand in a total order, so equal shards give equal bytes. `removed/<rule>.parquet` holds each line that a rule cut, word
for word, with its number in the text as the round found it, and each document that was too short, whole; `edits.parquet` holds each line
that a rule rewrote, before and after, and each misread word by itself. What is mere layout is in neither.
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


def write_documents(shard: CleaningState, output: Path) -> None:
    """documents.parquet: those that were kept, by id."""
    others = ", ".join(name for name in DOCUMENTS.names if name not in ("id", "text"))
    with DocumentWriter(output / "documents.parquet") as writer:
        for part in shard.ranges("fate <> 'gone'"):
            texts = shard.texts(part, "fate <> 'gone'")
            query = f"SELECT id, text, {others} FROM ({texts}) JOIN state USING (d) JOIN ({shard.others(part)}) USING (id) ORDER BY id"
            for row in rows_in_session(shard.work, query):
                writer.write(row)


def write_ledger(shard: CleaningState, output: Path) -> dict[str, float]:
    """ledger.parquet, edits.parquet and removed/; returns `pieces_<rule>` for each rule that touched something."""
    shard.work.set_variables(layout_rule=RULE_NUMBER["layout"], short_rule=RULE_NUMBER["too short"])
    shard.script("ledger.sql")
    with RowWriter(output / "ledger.parquet", LEDGER) as ledger:
        for row in _ledger(shard):
            ledger.write(row)
    _write_pieces(shard, output)
    found = shard.work.rows("SELECT rule, sum(pieces) FROM ledger GROUP BY rule ORDER BY rule")
    return {f"pieces_{RULES[int(str(rule))].name.replace(' ', '_')}": float(str(count)) for rule, count in found}


def _ledger(shard: CleaningState) -> Iterator[dict[str, Any]]:
    query = "SELECT id, rule, pieces, characters, net FROM account JOIN state USING (d) ORDER BY d, rule NULLS LAST"
    for row in rows_in_session(shard.work, query):
        rule = None if row["rule"] is None else RULES[row["rule"]]
        yield {
            "id": row["id"], "stage": "clean", "action": rule.action if rule else "kept", "rule": rule.name if rule else "document",
            "count": row["pieces"], "characters": row["characters"], "net": row["net"], "detail": "",
        }  # fmt: skip


def _write_pieces(shard: CleaningState, output: Path) -> None:
    query = "FROM pieces JOIN state USING (d) WHERE line IS NOT NULL ORDER BY d, pieces.round, rule, n, pieces.place, inner_place"
    with RowWriter(output / "edits.parquet", EDITS) as edits:
        for row in rows_in_session(shard.work, f"SELECT id, pieces.round AS round, rule, n AS place, before, line AS after {query}"):
            edits.write(row | {"rule": RULES[row["rule"]].name})
    with RemovalWriter(output) as removed:
        query = "FROM pieces JOIN state USING (d) WHERE line IS NULL ORDER BY rule, d, n, pieces.round"
        for row in rows_in_session(shard.work, f"SELECT id, pieces.round AS round, rule, n AS place, before {query}"):
            removed.write(RULES[row["rule"]].name, row["id"], row["place"], row["before"], f"round {row['round']}")
        for part in shard.ranges("fate = 'gone'"):
            texts = shard.texts(part, "fate = 'gone'")
            for row in rows_in_session(shard.work, f"SELECT id, text FROM ({texts}) JOIN state USING (d) ORDER BY id"):
                removed.write("too short", row["id"], 0, row["text"], "")
