"""What deduplication writes: the documents that stay, and the tables that say what became of every document."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from data.dedup.texts import Texts
from data.documents import schema
from data.documents.database import Database
from data.documents.rows import write_query
from data.documents.stream import COLUMNS

_VERDICTS = """SELECT v.number, v.rule, o.id FROM verdict AS v LEFT JOIN document AS o ON o.number = v.original
               WHERE v.rule IS NOT NULL AND v.number BETWEEN $first AND $last"""


class ResultTable(NamedTuple):
    """A table of the result: the name of its file, its columns, and the query that gives its rows in order."""

    name: str
    schema: pa.Schema
    query: str

    def write(self, work: Database, output: Path) -> None:
        """Write the rows into a folder."""
        write_query(work, self.query, output / f"{self.name}.parquet", self.schema)


CLUSTERS = ResultTable(
    "clusters",
    pa.schema([("id", pa.string()), ("cluster", pa.string())]),
    "SELECT v.id, c.id AS cluster FROM verdict AS v JOIN document AS c ON c.number = v.cluster ORDER BY v.id",
)
PAIRS = ResultTable(
    "pairs",
    pa.schema([pa.field(name, pa.float64() if name == "jaccard" else pa.string()) for name in ("a", "b", "jaccard", "rule")]),
    """SELECT l.id AS a, r.id AS b, jaccard, rule FROM pair
    JOIN document AS l ON l.number = a JOIN document AS r ON r.number = b ORDER BY l.id, r.id""",
)
LEDGER = ResultTable(
    "ledger",
    schema.LEDGER,
    """SELECT id, 'dedup' AS stage, action, rule, count::BIGINT AS count, characters::BIGINT AS characters, net::BIGINT AS net, detail
    FROM ledger ORDER BY id, turn, rule""",
)


def kept(texts: Texts) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number and the columns of each document that stays, and fill table `final`."""
    for batch in texts.batches(COLUMNS):
        verdicts = {number: (rule, original) for number, rule, original in texts.rows(_VERDICTS, batch)}
        final: list[dict[str, str | int]] = []
        for row in batch.to_pylist():
            number = row.pop("number")
            rule, original = verdicts.get(number, ("", ""))
            if not rule and not row["text"].strip():
                rule = "empty"
            final.append({"number": number, "characters": len(row["text"]), "empty": rule == "empty"})
            if rule:
                texts.removed.write(rule, row["id"], 0, row["text"], f"kept {original}" if original else "no text is left")
            else:
                yield number, row
        texts.insert("final", pa.Table.from_pylist(final))


def count_by_rule(work: Database) -> dict[str, float]:
    """Return counts by rule, from `ledger`, the clusters in `verdict`, the pairs in `candidate` and those in `near_pair`."""
    queries = {
        "documents_in": "SELECT count(*) FROM verdict",
        "documents_kept": "SELECT count(*) FROM ledger WHERE action = 'kept'",
        "characters_kept": "SELECT sum(characters) FROM ledger WHERE action = 'kept'",
        "clusters": "SELECT count(DISTINCT cluster) FROM verdict",
        "documents_exact": "SELECT count(*) FROM ledger WHERE rule = 'exact_document'",
        "documents_near": "SELECT count(*) FROM ledger WHERE rule = 'near_document'",
        "documents_empty": "SELECT count(*) FROM ledger WHERE action = 'removed'",
        "pairs_candidate": "SELECT count(*) FROM candidate",
        "pairs_near": "SELECT count(*) FROM near_pair",
        "characters_removed_document": "SELECT sum(net) FROM ledger WHERE action IN ('duplicate', 'removed')",
    }
    for rule in ("page", "paragraph", "line", "substring"):
        queries[f"{rule}s_removed"] = f"SELECT sum(count) FROM ledger WHERE action = 'cut' AND rule = '{rule}'"
        queries[f"characters_removed_{rule}"] = f"SELECT sum(net) FROM ledger WHERE action = 'cut' AND rule = '{rule}'"
    return {name: work.number(query) for name, query in queries.items()}
