"""The leak report: which share of validation and test stands word for word in train, and the longest such passages.

An n-gram leaks if its words stand in a row in any training document. Memory and disk go with the held-out text, not with
train, which streams by. Two different n-grams count as one if their 64-bit hashes collide: one in 10^9 or so.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data.audit.config import AuditConfig
from data.documents.database import Workspace
from data.documents.stream import batches
from data.documents.words import gram_macro, spans

_SQL = Path(__file__).parent
_NUMBERS = ("first_word", "words")
_COLUMNS = ("split", "id", "title", *_NUMBERS, "text", "train_id")
_SCHEMA = pa.schema([(name, pa.int64() if name in _NUMBERS else pa.string()) for name in _COLUMNS])
HELD_OUT = ("val", "test")


def report_leaks(work: Workspace, splits: Path, target: Path, config: AuditConfig) -> dict[str, float]:
    """Writes the worst passages to `target`: split, id, title, first_word (from 1), words, text (excerpt), train_id.

    Returns for each held-out split `leak_*` (share of n-grams, 0 for an empty split), `leak_*_documents` (documents with any)
    and `leak_*_longest` (words).
    """
    work.connection.execute(gram_macro("audit_grams", config.words))
    work.set(audit_words=config.words, audit_worst=config.worst)
    work.connection.execute("CREATE TABLE held_out (part VARCHAR, id VARCHAR, position BIGINT, gram UBIGINT)")
    work.connection.execute("CREATE TABLE seen (gram UBIGINT, id VARCHAR)")
    for part in HELD_OUT:
        work.set(part=part)
        for batch in batches(splits / f"{part}.parquet", ("id", "text")):
            work.on_batch(_SQL / "held_out.sql", batch)
    for batch in batches(splits / "train.parquet", ("id", "text")):
        work.on_batch(_SQL / "train.sql", batch)
    work.script(_SQL / "leaks.sql")
    pq.write_table(_passages(work, splits, config.excerpt), target, compression="zstd")
    metrics: dict[str, float] = {}
    for part in HELD_OUT:
        grams = work.number(f"SELECT count(*) FROM held_out WHERE part = '{part}'")
        metrics[f"leak_{part}"] = work.number(f"SELECT count(*) FROM leak WHERE part = '{part}'") / max(grams, 1.0)
        metrics[f"leak_{part}_documents"] = work.number(f"SELECT count(DISTINCT id) FROM leak WHERE part = '{part}'")
        metrics[f"leak_{part}_longest"] = work.number(f"SELECT max(words) FROM passage WHERE part = '{part}'")
    return metrics


def _passages(work: Workspace, splits: Path, excerpt: int) -> pa.Table:
    found: dict[tuple[str, str], list[tuple[int, int, str]]] = {}
    query = "SELECT part, id, first, words, source FROM passage ORDER BY ALL"
    for part, name, first, words, source in work.connection.execute(query).fetchall():
        found.setdefault((part, name), []).append((first, words, source))
    rows: list[dict[str, str | int]] = []
    for part in HELD_OUT:
        for batch in batches(splits / f"{part}.parquet", ("id", "title", "text")):
            for document in batch.to_pylist():
                leaked = found.get((part, document["id"]), [])
                places = spans(document["text"]) if leaked else []
                for first, words, source in leaked:
                    last = min(first + words - 1, len(places))
                    text = document["text"][places[first - 1][0] : places[last - 1][1]][:excerpt]
                    row = {"split": part, "id": document["id"], "title": document["title"], "first_word": first}
                    rows.append({**row, "words": last - first + 1, "text": text, "train_id": source})
    rows.sort(key=lambda row: (row["split"], -int(row["words"]), row["id"], row["first_word"]))
    return pa.Table.from_pylist(rows, schema=_SCHEMA)
