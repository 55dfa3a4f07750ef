"""The corpus funnel: documents and characters after each stage, and what each rule took away.

Reads what stages left behind, in one folder or in one a shard: a ledger, and the documents beside it if there are any. A document
counts as removed by a stage if its ledger names it and its documents don't; a stage balances if what came in is what it kept and
what it names as removed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.documents.database import Workspace, parquet

_RULES = """
    SELECT action, rule, count(DISTINCT id) FILTER (id NOT IN (SELECT id FROM funnel_document)) AS documents,
           sum(count)::BIGINT AS pieces, sum(characters)::BIGINT AS characters
    FROM funnel_ledger WHERE action <> 'kept' GROUP BY action, rule ORDER BY action, rule"""


def funnel(work: Workspace, ledgers: Mapping[str, Sequence[Path]]) -> list[dict[str, Any]]:
    """One entry a stage, in the order of `ledgers`, whose values are the folders that hold its ledgers.

    Raises FileNotFoundError, naming the stage, for a ledger that isn't there.
    """
    stages: list[dict[str, Any]] = []
    before: tuple[int, int] | None = None
    for stage, folders in ledgers.items():
        if missing := [folder for folder in folders if not (folder / "ledger.parquet").exists()]:
            raise FileNotFoundError(f"stage {stage} has no ledger at {missing[0] / 'ledger.parquet'}; the funnel cannot account for it")
        entry = _stage(work, stage, folders, before)
        stages.append(entry)
        before = (entry["documents"], entry["characters"])
    return stages


def _stage(work: Workspace, stage: str, folders: Sequence[Path], before: tuple[int, int] | None) -> dict[str, Any]:
    ledgers = parquet([folder / "ledger.parquet" for folder in folders])
    documents = [path for path in (folder / "documents.parquet" for folder in folders) if path.exists()]
    work.connection.execute(f"CREATE OR REPLACE TEMP VIEW funnel_ledger AS SELECT * FROM {ledgers}")
    if documents:
        source = f"SELECT id, length(text) AS characters FROM {parquet(documents)}"
    else:
        # Without documents the ledger's closing rows say who stayed; how long they were it doesn't say.
        source = "SELECT DISTINCT id, 0 AS characters FROM funnel_ledger WHERE action = 'kept'"
    work.connection.execute(f"CREATE OR REPLACE TEMP TABLE funnel_document AS {source}")
    kept = int(work.number("SELECT count(*) FROM funnel_document"))
    named = int(work.number("SELECT count(DISTINCT id) FROM funnel_ledger"))
    gone = int(work.number("SELECT count(DISTINCT id) FROM funnel_ledger WHERE id NOT IN (SELECT id FROM funnel_document)"))
    rules: dict[str, dict[str, dict[str, int]]] = {}
    for action, rule, lost, pieces, characters in work.connection.execute(_RULES).fetchall():
        rules.setdefault(action, {})[rule] = {"documents": lost, "pieces": pieces, "characters": characters}
    return {
        "stage": stage,
        "documents_in": before[0] if before else named,
        "documents": kept,
        "documents_removed": gone,
        "characters_in": before[1] if before else None,
        "characters": int(work.number("SELECT sum(characters) FROM funnel_document")),
        "balanced": kept + gone == (before[0] if before else named),
        "rules": rules,
    }
