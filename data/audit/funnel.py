"""The corpus funnel: documents and characters after each stage, and what each rule removed.

Reads the ledger of each stage and the documents beside it, in one folder or one for each shard; deduplication leaves a file for each shard
in one folder. `balanced` says that the ledger accounts for every document and character of a stage across its shards, by the rule of
`data.documents.ledger`; otherwise `fault` names the first document that doesn't add up. Costs one pass over the ledgers and the lengths of
the texts; DuckDB holds the ids and spills.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.audit.sql import SQL
from data.documents.database import Database, parquet
from data.documents.ledger import CLOSING, imbalance, sizes
from data.documents.sharding import SHARD_DOCUMENTS, split_files

SPLITS = ("train", "val", "test")
GONE = tuple(action for action in CLOSING if action != "kept")


def funnel(work: Database, ledgers: Mapping[str, Sequence[Path]]) -> list[dict[str, Any]]:
    """Return one entry for each stage of `ledgers`, which maps stages to the folders of their ledgers.

    For a stage without documents beside its ledger, the ledger alone is believed. Raise FileNotFoundError, naming the stage, if a ledger
    is missing.
    """
    stages: list[dict[str, Any]] = []
    for stage, folders in ledgers.items():
        if missing := [folder for folder in folders if not (folder / "ledger.parquet").exists()]:
            raise FileNotFoundError(f"stage {stage} has no ledger at {missing[0] / 'ledger.parquet'}; the funnel cannot account for it")
        ledger = parquet([folder / "ledger.parquet" for folder in folders])
        work.connection.execute(f"CREATE OR REPLACE VIEW funnel_ledger AS SELECT * FROM {ledger}")
        documents = documents_left(work, folders)
        source = sizes(documents) if documents else "(SELECT id, characters AS size FROM funnel_ledger WHERE action = 'kept')"
        work.connection.execute(f"CREATE OR REPLACE TABLE funnel_stayed AS SELECT id, size FROM {source}")
        if not stages:
            work.run_file(SQL / "first_stage.sql")
        stages.append(_stage(work, stage))
        work.connection.execute("DROP TABLE funnel_came")
        work.connection.execute("ALTER TABLE funnel_stayed RENAME TO funnel_came")
    return stages


def documents_left(work: Database, folders: Sequence[Path]) -> list[Path]:
    """Return the files that hold the documents a stage left, each text once; none if it left no documents.

    If val and test are copies of train, return train alone.
    """
    train, *held_out = (split_files(folders, part) for part in SPLITS)
    others = [path for files in held_out for path in files]
    if not folders or not all(path.exists() for path in (*train, *others)):
        by_shard = [path for folder in folders for path in sorted((folder / Path(SHARD_DOCUMENTS).parent).glob("*.parquet"))]
        return by_shard or [path for path in (folder / "documents.parquet" for folder in folders) if path.exists()]
    outside = work.number(f"SELECT count(*) FROM {sizes(others)} ANTI JOIN {sizes(train)} USING (id, size)")
    return [*train, *others] if outside else train


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
