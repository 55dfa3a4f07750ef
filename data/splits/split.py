"""Splits the documents of a shard into train, validation and test.

`assignment` decides where each document of all shards goes; this module writes the files of one. Synthetic documents are never held out:
they go to train, up to `synthetic_share`, or nowhere. Every removed document is in the ledger, and word for word in `removed/`.

Costs one pass over the texts and one over their lengths. Memory holds a few megabytes of text; DuckDB holds the ids and spills.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Unpack

from data.documents.database import Database, Limits, open_database, parquet
from data.documents.ledger import RemovalWriter, require_balance
from data.documents.rows import LEDGER, rows, write_rows
from data.documents.stream import DocumentWriter, batches, sorted_by_id
from data.shards.names import SPLITS
from data.splits.assignment import cut
from data.splits.config import TRAIN_SIZE, DivideConfig
from data.splits.sql import SQL

_LEDGER = SQL / "ledger.sql"


def split(documents: Path, assigned: Path, output: Path, config: DivideConfig, **limits: Unpack[Limits]) -> dict[str, float]:
    """Write `train.parquet`, `val.parquet`, `test.parquet`, `train_size.json`, `ledger.parquet` and `removed/` of a shard into `output`.

    `assigned`: the shard's slice of the assignment. A document that is copied is in all three splits; one that is cut has a row in each,
    with its part of the text. Return documents and characters of each split; bytes_train, synthetic_documents, synthetic_characters,
    synthetic_dropped. Raise ValueError if documents and assignment aren't those of one shard, and Unbalanced if a character isn't accounted
    for.
    """
    output.mkdir(parents=True, exist_ok=True)
    with open_database(**limits) as work:
        (source,) = sorted_by_id(work, [documents])
        work.connection.execute(f"CREATE VIEW assigned AS FROM {parquet([assigned])}")
        metrics = _write(work, source, output, config)
        (output / TRAIN_SIZE).write_text(json.dumps({"bytes": int(metrics["bytes_train"])}), encoding="utf-8")
        write_rows(output / "ledger.parquet", LEDGER, rows(work, _LEDGER.read_text("utf-8")))
        # Val and test that are copies of train don't count: only what train holds was kept.
        copied = work.number("SELECT count(*) FROM assigned WHERE copied")
        stayed = [output / f"{part}.parquet" for part in (SPLITS[:1] if copied else SPLITS)]
        require_balance(work, "split", [documents], stayed, output / "ledger.parquet")
    return metrics


def _write(work: Database, documents: Path, output: Path, config: DivideConfig) -> dict[str, float]:
    """Write the three splits and the removed documents, joining documents and assignments, both ordered by id."""
    counts = dict.fromkeys((f"{kind}_{part}" for kind in ("documents", "characters") for part in SPLITS), 0.0)
    counts |= dict.fromkeys(("bytes_train", "synthetic_documents", "synthetic_characters", "synthetic_dropped"), 0.0)
    assignments = rows(work, "SELECT id, split, rule, cut, copied FROM assigned ORDER BY id")
    with ExitStack() as stack:
        writers = {part: stack.enter_context(DocumentWriter(output / f"{part}.parquet")) for part in SPLITS}
        removed = stack.enter_context(RemovalWriter(output))
        for row in (row for batch in batches(documents) for row in batch.to_pylist()):
            size, assigned = len(row["text"]), next(assignments, None)
            if assigned is None or assigned["id"] != row["id"]:
                raise ValueError(f"document {row['id']} of {documents.name} is not the next one assigned; both must be of one shard")
            if assigned["split"] is None:
                removed.write(str(assigned["rule"]), row["id"], 0, row["text"])
                counts["synthetic_dropped"] += 1
                continue
            if row["synthetic"]:
                counts["synthetic_documents"] += 1
                counts["synthetic_characters"] += size
            for name, text in _parts(row["text"], assigned, config).items():
                writers[name].write({**row, "text": text})
                counts[f"documents_{name}"] += 1
                counts[f"characters_{name}"] += len(text)
                counts["bytes_train"] += len(text.encode()) if name == "train" else 0
    return counts


def _parts(text: str, assigned: dict[str, Any], config: DivideConfig) -> dict[str, str]:
    """Return what each split holds of a document."""
    if assigned["cut"]:
        return cut(text, config)
    return dict.fromkeys(SPLITS if assigned["copied"] else (str(assigned["split"]),), text)
