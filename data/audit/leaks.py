"""The leak report: the share of held-out text that occurs word for word in other splits, and the longest such passages.

Validation is compared with train, test with train and with validation, which influences the choice of a model. An n-gram leaks if its words
occur in a row in any document of the other split. `survey` and `overlap` found the n-grams in the texts of each shard; this module joins
them by their hashes, and reads the texts of those held-out documents alone that it quotes, one at a time.

Finds which held-out n-grams of all shards also occur in the train and validation texts of one shard.

Costs a pass over these texts. Memory holds a few megabytes of them; DuckDB holds the n-grams and spills. Two different n-grams count as one
if their 64-bit hashes collide: about one in 10^9.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Unpack

import pyarrow as pa

from data.audit.config import AuditConfig, GramConfig
from data.audit.sql import SQL
from data.documents.database import Database, Limits, open_database, parquet
from data.documents.rows import rows, write_rows
from data.documents.slices import write_table
from data.documents.stream import batches, slices
from data.documents.words import gram_macro, spans


def define_grams(work: Database, config: GramConfig) -> None:
    """Define the SQL macro `audit_grams`, which makes n-grams of hashed words."""
    work.connection.execute(gram_macro("audit_grams", config.words))


def run_on_texts(work: Database, query: Path, part: str, documents: Path) -> None:
    """Run a .sql file, which reads `batch` (id, text) and variable `part`, on the texts of a split."""
    work.set_variables(part=part)
    for batch in batches(documents, ("id", "text")):
        for texts in slices(batch):
            work.run_on_batch(query, texts)


SEEN = "seen.parquet"


def overlap(
    train: Path, val: Path, held_out: Sequence[Path], output: Path, config: GramConfig, **limits: Unpack[Limits]
) -> dict[str, float]:
    """Write `seen.parquet` into `output`: part (train or val), gram, and the id of the first document of the shard that has it.

    `held_out`: the n-grams of the held-out texts of every shard. Validation is searched only for those of test.
    Return the number of n-grams found.
    """
    output.mkdir(parents=True, exist_ok=True)
    with open_database(**limits) as work:
        define_grams(work, config)
        work.connection.execute(f"CREATE TABLE held_out AS SELECT DISTINCT part, gram FROM {parquet(held_out)}")
        work.connection.execute("CREATE TABLE seen (part VARCHAR, gram UBIGINT, id VARCHAR)")
        for part, documents in (("train", train), ("val", val)):
            run_on_texts(work, SQL / "seen.sql", part, documents)
        work.connection.execute("CREATE TABLE first_seen AS SELECT part, gram, min(id) AS id FROM seen GROUP BY part, gram")
        write_table(work, "FROM first_seen", output / SEEN)
        return {"ngrams": work.number("SELECT count(*) FROM first_seen")}


_NUMBERS = ("first_word", "words")
_COLUMNS = ("split", "id", "title", *_NUMBERS, "text", "train_id", "val_id", "other_title")
_PASSAGES = pa.schema([(name, pa.int64() if name in _NUMBERS else pa.string()) for name in _COLUMNS])
_COUNTS = ("ngrams", "in_train", "in_val")
_DOCUMENTS = pa.schema([(name, pa.int64() if name in _COUNTS else pa.string()) for name in ("split", "id", "title", "source", *_COUNTS)])
_LEAKED = f"SELECT part AS split, {', '.join(_DOCUMENTS.names[1:])} FROM leaked_document ORDER BY share DESC, part, id"
AGAINST = (("val", "train"), ("test", "train"), ("test", "val"))


def report_leaks(
    work: Database, overlaps: Sequence[Path], held_out: Mapping[str, Sequence[Path]], output: Path, config: AuditConfig
) -> dict[str, float]:
    """Write `leaks.parquet` and `leaked_documents.parquet` into `output`, from the surveys that `work` has read.

    `overlaps`: what `overlap` found in each shard; `held_out`: the files of val and of test, in the order of the shards.
    leaks: the longest passages of each comparison: split, id, title, first_word (from 1), words, text (excerpt), and the document that
    also holds it: train_id or val_id, and other_title. leaked_documents: every held-out document that leaks, the worst first: split, id,
    title, source, ngrams, and how many of them are in_train and (for test) in_val.
    Return for each held-out split against train `leak_*` (share of n-grams, 0 for an empty split), `leak_*_documents` (documents with
    any), `leak_*_longest` (words) and `leak_*_worst` (largest share of a document); and for test against validation `leak_test_val`, ...
    """
    work.set_variables(audit_words=config.words, audit_worst=config.worst)
    work.connection.execute(f"CREATE VIEW seen AS FROM {parquet([folder / SEEN for folder in overlaps])}")
    work.run_file(SQL / "leaks.sql")
    write_rows(output / "leaks.parquet", _PASSAGES, sorted(_passages(work, held_out, config.excerpt), key=_longest_first))
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


def _passages(work: Database, held_out: Mapping[str, Sequence[Path]], excerpt: int) -> Iterator[dict[str, str | int]]:
    query = "SELECT part, shard, id, title, first, words, other, source, other_title FROM passage_of ORDER BY ALL"
    found = work.connection.execute(query).fetchall()
    for (part, shard, name, title), passages in groupby(found, key=itemgetter(0, 1, 2, 3)):
        text = _text(work, held_out[part][shard], name)
        word_spans = spans(text)
        for _, _, _, _, first, words, other, source, other_title in passages:
            last = min(first + words - 1, len(word_spans))
            quote = text[word_spans[first - 1][0] : word_spans[last - 1][1]][:excerpt]
            row = {"split": part, "id": name, "title": title, "first_word": first, "words": last - first + 1, "text": quote}
            yield row | {"train_id": "", "val_id": "", "other_title": other_title} | {f"{other}_id": source}


def _text(work: Database, documents: Path, name: str) -> str:
    ((text,),) = work.connection.execute(f"SELECT text FROM {parquet([documents])} WHERE id = $id", {"id": name}).fetchall()
    return str(text)


def _longest_first(row: Mapping[str, str | int]) -> tuple[str | int, ...]:
    return row["split"], -int(row["words"]), row["id"], row["first_word"], row["val_id"]
