"""The leak report: the share of held-out text that occurs word for word in other splits, and the longest such passages.

Validation is compared with train, test with train and with validation, which influences the choice of a model. An n-gram leaks if its words
occur in a row in any document of the other split. Memory and disk grow with the held-out text, in DuckDB, which spills; train is streamed.
Two different n-grams count as one if their 64-bit hashes collide: about one in 10^9.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from data.audit.config import AuditConfig
from data.audit.sql import SQL
from data.documents.database import Database, parquet
from data.documents.merged import merged
from data.documents.rows import rows
from data.documents.schema import write_rows
from data.documents.sharding import split_files
from data.documents.stream import slices
from data.documents.words import gram_macro, spans

_NUMBERS = ("first_word", "words")
_COLUMNS = ("split", "id", "title", *_NUMBERS, "text", "train_id", "val_id", "other_title")
_PASSAGES = pa.schema([(name, pa.int64() if name in _NUMBERS else pa.string()) for name in _COLUMNS])
_COUNTS = ("ngrams", "in_train", "in_val")
_DOCUMENTS = pa.schema([(name, pa.int64() if name in _COUNTS else pa.string()) for name in ("split", "id", "title", "source", *_COUNTS)])
HELD_OUT = ("val", "test")
_LEAKED = f"SELECT part AS split, {', '.join(_DOCUMENTS.names[1:])} FROM leaked_document ORDER BY share DESC, part, id"
AGAINST = (("val", "train"), ("test", "train"), ("test", "val"))


def report_leaks(work: Database, splits: Sequence[Path], output: Path, config: AuditConfig) -> dict[str, float]:
    """Write `leaks.parquet` and `leaked_documents.parquet` into `output`. `splits`: the folders of the shards.

    leaks: the longest passages of each comparison: split, id, title, first_word (from 1), words, text (excerpt), and the document that
    also holds it: train_id or val_id, and other_title. leaked_documents: every held-out document that leaks, the worst first: split, id,
    title, source, ngrams, and how many of them are in_train and (for test) in_val.
    Return for each held-out split against train `leak_*` (share of n-grams, 0 for an empty split), `leak_*_documents` (documents with
    any), `leak_*_longest` (words) and `leak_*_worst` (largest share of a document); and for test against validation `leak_test_val`, ...
    """
    work.connection.execute(gram_macro("audit_grams", config.words))
    work.set_variables(audit_words=config.words, audit_worst=config.worst)
    work.connection.execute("CREATE TABLE held_out (part VARCHAR, id VARCHAR, position BIGINT, gram UBIGINT)")
    work.connection.execute("CREATE TABLE seen (part VARCHAR, gram UBIGINT, id VARCHAR)")
    for part in HELD_OUT:
        work.set_variables(part=part)
        for batch in merged(split_files(splits, part), ("id", "text")):
            for part_of_batch in slices(batch):
                work.run_on_batch(SQL / "held_out.sql", part_of_batch)
    for part in ("train", "val"):
        work.set_variables(part=part)
        for batch in merged(split_files(splits, part), ("id", "text")):
            for part_of_batch in slices(batch):
                work.run_on_batch(SQL / "seen.sql", part_of_batch)
    for part in ("train", *HELD_OUT):
        columns = f"SELECT '{part}' AS part, id, title, source FROM {parquet(split_files(splits, part))}"
        work.connection.execute(f"CREATE TEMP VIEW {part}_name AS {columns}")
    work.run_file(SQL / "leaks.sql")
    write_rows(output / "leaks.parquet", _PASSAGES, _passages(work, splits, config.excerpt))
    write_rows(output / "leaked_documents.parquet", _DOCUMENTS, rows(work, _LEAKED))
    metrics: dict[str, float] = {}
    for part, other in AGAINST:
        name, where = f"leak_{part}" if other == "train" else f"leak_{part}_{other}", f"part = '{part}' AND other = '{other}'"
        grams = work.number(f"SELECT count(*) FROM held_out WHERE part = '{part}'")
        metrics[name] = work.number(f"SELECT count(*) FROM leak WHERE {where}") / max(grams, 1.0)
        metrics[f"{name}_documents"] = work.number(f"SELECT count(DISTINCT id) FROM leak WHERE {where}")
        metrics[f"{name}_longest"] = work.number(f"SELECT max(words) FROM passage WHERE {where}")
        metrics[f"{name}_worst"] = work.number(f"SELECT max(in_{other} / ngrams) FROM leaked_document WHERE part = '{part}'")
    return metrics


def _passages(work: Database, splits: Sequence[Path], excerpt: int) -> list[dict[str, str | int]]:
    found: dict[tuple[str, str], list[tuple[int, int, str, str, str]]] = {}
    query = "SELECT part, id, first, words, other, source, title FROM passage_of ORDER BY ALL"
    for part, name, *passage in work.connection.execute(query).fetchall():
        found.setdefault((part, name), []).append((passage[0], passage[1], passage[2], passage[3], passage[4]))
    report: list[dict[str, str | int]] = []
    for part in HELD_OUT:
        for batch in merged(split_files(splits, part), ("id", "title", "text")):
            for document in batch.to_pylist():
                leaked = found.get((part, document["id"]), [])
                word_spans = spans(document["text"]) if leaked else []
                for first, words, other, source, title in leaked:
                    last = min(first + words - 1, len(word_spans))
                    text = document["text"][word_spans[first - 1][0] : word_spans[last - 1][1]][:excerpt]
                    row = {"split": part, "id": document["id"], "title": document["title"], "first_word": first}
                    row |= {"words": last - first + 1, "text": text, "train_id": "", "val_id": "", "other_title": title}
                    report.append(row | {f"{other}_id": source})
    report.sort(key=lambda row: (row["split"], -int(row["words"]), row["id"], row["first_word"], row["val_id"]))
    return report
