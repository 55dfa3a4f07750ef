"""The corpus funnel: documents and characters after each stage, and what each rule removed.

Reads the ledgers of each stage, and from the surveys which documents it left. `balanced` says that the ledgers account for every document
and character of a stage across its shards, by the rule of `data.documents.ledger`; otherwise `fault` names the first document that doesn't
add up. Costs one pass over ids and lengths; DuckDB holds them and spills.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.audit.sql import SQL
from data.documents.database import Database, parquet
from data.documents.ledger import CLOSING, imbalance

GONE = tuple(action for action in CLOSING if action != "kept")


def funnel(work: Database, ledgers: Mapping[str, Sequence[Path]]) -> list[dict[str, Any]]:
    """Return one entry for each stage of `ledgers`, which maps stages to the ledgers of their shards; `work` has read the surveys.

    Raise FileNotFoundError, naming the stage, if a ledger is missing.
    """
    stages: list[dict[str, Any]] = []
    for stage, files in ledgers.items():
        if missing := [file for file in files if not file.exists()]:
            raise FileNotFoundError(f"stage {stage} has no ledger at {missing[0]}; the funnel cannot account for it")
        work.connection.execute(f"CREATE OR REPLACE VIEW funnel_ledger AS SELECT * FROM {parquet(files)}")
        left = f"SELECT id, characters AS size FROM left_documents WHERE stage = '{stage}'"
        work.connection.execute(f"CREATE OR REPLACE TABLE funnel_stayed AS {left}")
        if not stages:
            work.run_file(SQL / "first_stage.sql")
        stages.append(_stage(work, stage))
        work.connection.execute("DROP TABLE funnel_came")
        work.connection.execute("ALTER TABLE funnel_stayed RENAME TO funnel_came")
    return stages


def _stage(work: Database, stage: str) -> dict[str, Any]:
    fault = imbalance(work, stage, "funnel_came", "funnel_stayed", "funnel_ledger")
    rules: dict[str, dict[str, dict[str, int]]] = {}
    net_of = {"removed": 0, "cut": 0, "changed": 0}
    for action, rule, documents, pieces, characters, net in work.connection.execute((SQL / "rules.sql").read_text("utf-8")).fetchall():
        rules.setdefault(action, {})[rule] = {"documents": documents, "pieces": pieces, "characters": characters, "net": net}
        net_of["removed" if action in GONE else action] += net
    counts = {}
    for when, table in (("_in", "funnel_came"), ("", "funnel_stayed")):
        counts[f"documents{when}"] = int(work.number(f"SELECT count(DISTINCT id) FROM {table}"))
        counts[f"characters{when}"] = int(work.number(f"SELECT sum(size) FROM {table}"))
    removed = sum(counted["documents"] for action in GONE for counted in rules.get(action, {}).values())
    net_characters = {f"characters_{how}": net for how, net in net_of.items()}
    entry = {"documents_removed": removed, **net_characters, "balanced": not fault, "rules": rules}
    return {"stage": stage, **counts, **entry, **({"fault": fault} if fault else {})}
