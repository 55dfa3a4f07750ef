"""Removes the text of evaluation sets from the corpus, so models can't memorize them.

The method is GPT-3's (Brown et al. 2020, "Language Models are Few-Shot Learners", appendix C): an n-gram of 13 words that an evaluation
set and a document share is cut out with 200 characters on each side; then pieces shorter than 200 characters are dropped, and so is a
document in more than 10 pieces; n-grams in more than 10 documents are common phrases and stay. Shorter texts count as a whole from 8 words
on, the paper's smallest n. Words are those of `data.documents.words`: unlike the paper's, a word ends at an apostrophe or a hyphen. A
document stays one document, its pieces joined by a blank line. Common phrases are counted over all documents, before any split.

The result depends on the documents and the sets alone; every passage is listed with its item, and every character is accounted for.
Costs two passes over the texts. Memory holds a few megabytes of text; DuckDB holds the n-grams and their matches, and spills. Two different
n-grams count as one if their 64-bit hashes collide: about one in 10^9.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from data.decontamination.config import DecontaminateConfig
from data.decontamination.cut import CutText, cut
from data.decontamination.evaluation import ItemText, read_held_out, read_texts
from data.decontamination.sql import SQL
from data.documents.database import Database, open_database
from data.documents.ledger import RemovalWriter, require_balance
from data.documents.rows import RowWriter, rows
from data.documents.schema import LEDGER
from data.documents.stream import BATCH_CHARACTERS, DocumentWriter, batches, slices, sorted_by_id
from data.documents.words import gram_macro, spans

RULE = "decontamination"
# place: the position of the first matching word, from 1.
CONTAMINATED = pa.schema(
    [pa.field(name, pa.int64() if name in ("item", "place", "words") else pa.string()) for name in ("evaluation", "item", "id", "place",
                                                                                                "words", "excerpt")]
)  # fmt: skip
EXCERPT = 400
_PASSAGES = "SELECT id, first, last, NULL AS name, NULL AS item FROM passage UNION ALL SELECT id, first, last, name, item FROM contaminated"


def decontaminate(
    documents: Path,
    output: Path,
    config: DecontaminateConfig,
    *,
    root: Path,
    observed: Mapping[str, str] | None,
    threads: int,
    memory: str,
    scratch: Path,
    held_out: Mapping[str, Path] | None = None,
) -> dict[str, float]:
    """Write `documents.parquet`, `contaminated.parquet`, `ledger.parquet` and `removed/` into `output`.

    `held_out`: further sets, by name, which the run itself holds out: files of documents or of questions.
    contaminated: one row for each item and passage: evaluation (the set), item (its number), id, place, words, excerpt.
    Return documents_contaminated, documents_dropped, passages, characters_removed, phrases_common (ignored n-grams), and for each set
    `items_<set>`, `items_hit_<set>` and `items_short_<set>` (too short to search for). Raise EvaluationError if a set can't be read.
    """
    output.mkdir(parents=True, exist_ok=True)
    with open_database(scratch, threads=threads, memory=memory) as work:
        source = sorted_by_id(work, [documents])
        names = [*(evaluation.name for evaluation in config.against), *(held_out or {})]
        metrics = _load(work, chain(read_texts(config, root, observed), read_held_out(held_out or {})), names, config)
        _search(work, source[0], config)
        metrics |= _write(work, source[0], output, config)
        require_balance(work, "decontaminate", [documents], [output / "documents.parquet"], output / "ledger.parquet")
        for name in names:
            metrics[f"items_hit_{name}"] = work.number(f"SELECT count(DISTINCT item) FROM contaminated WHERE name = '{name}'")
        metrics["phrases_common"] = work.number("SELECT count(*) FROM common")
    return metrics


def _load(work: Database, items: Iterator[ItemText], names: Sequence[str], config: DecontaminateConfig) -> dict[str, float]:
    """Fill table `wanted` with the n-grams of the sets, and return the number of items of each set."""
    work.set_variables(most_words=config.words, least_words=config.least_words, common=config.common)
    work.connection.execute(gram_macro("first_grams", config.least_words))
    work.connection.execute("CREATE TABLE prefix (gram UBIGINT)")
    work.connection.execute("CREATE TABLE wanted (name VARCHAR, item BIGINT, size UTINYINT, gram UBIGINT)")
    work.connection.execute("CREATE TABLE hit (id VARCHAR, position BIGINT, size UTINYINT, gram UBIGINT)")
    counts = dict.fromkeys(names, 0)
    for batch in _tables(items):
        work.run_on_batch(SQL / "prefixes.sql", batch)
        for size in range(config.least_words, config.words + 1):
            work.set_variables(size=size)
            work.connection.execute(gram_macro("decon_grams", size))
            work.run_on_batch(SQL / "items.sql", batch)
        counts |= {name: max(counts[name], item) for name, item in zip(*(batch[key].to_pylist() for key in ("name", "item")), strict=True)}
    metrics: dict[str, float] = {}
    for name, count in counts.items():
        searched = work.number(f"SELECT count(DISTINCT item) FROM wanted WHERE name = '{name}'")
        metrics |= {f"items_{name}": float(count), f"items_short_{name}": count - searched}
    return metrics


def _tables(items: Iterator[ItemText]) -> Iterator[pa.Table]:
    rows: list[dict[str, str | int]] = []
    size = 0
    for text in items:
        rows.append(text._asdict())
        size += len(text.text)
        if size >= BATCH_CHARACTERS:
            yield pa.Table.from_pylist(rows)
            rows, size = [], 0
    if rows:
        yield pa.Table.from_pylist(rows)


def _search(work: Database, documents: Path, config: DecontaminateConfig) -> None:
    """Fill tables `passage` (id, first, last: words from 1), `contaminated` and `common`."""
    sizes = [int(str(size)) for (size,) in work.rows("SELECT DISTINCT size FROM wanted ORDER BY size")]
    # With n-grams of one length all documents are searched directly; otherwise those that share no prefix with any n-gram are skipped.
    work.set_variables(direct=len(sizes) < 2)
    for batch in batches(documents, ("id", "text")) if sizes else ():
        for part in slices(batch):
            work.run_on_batch(SQL / "suspects.sql", part)
            for size in sizes if work.number("SELECT count(*) FROM suspect") else ():
                work.set_variables(size=size)
                work.connection.execute(gram_macro("decon_grams", size))
                work.run_file(SQL / "hits.sql")
    work.run_file(SQL / "passages.sql")


def _write(work: Database, documents: Path, output: Path, config: DecontaminateConfig) -> dict[str, float]:
    counts = dict.fromkeys(("documents_contaminated", "documents_dropped", "passages", "characters_removed"), 0.0)
    matches = rows(work, f"{_PASSAGES} ORDER BY id, first, last, name NULLS FIRST, item")
    match = next(matches, None)
    with (
        DocumentWriter(output / "documents.parquet") as writer,
        RowWriter(output / "ledger.parquet", LEDGER) as ledger,
        RowWriter(output / "contaminated.parquet", CONTAMINATED) as listed,
        RemovalWriter(output) as removed,
    ):
        for batch in batches(documents):
            for row in batch.to_pylist():
                name, before = row["id"], len(row["text"])
                word_spans = spans(row["text"]) if match is not None and match["id"] == name else []
                passages: list[tuple[int, int]] = []
                while match is not None and match["id"] == name:
                    start, end = word_spans[match["first"] - 1][0], word_spans[match["last"] - 1][1]
                    if match["name"] is None:
                        passages.append((start, end))
                    else:
                        listed.write(_contaminated_row(match, row["text"][start:end]))
                    match = next(matches, None)
                if passages:
                    result = cut(row["text"], passages, config)
                    counts["documents_contaminated"] += 1
                    counts["documents_dropped"] += bool(result.dropped)
                    counts["passages"] += len(passages)
                    counts["characters_removed"] += before - len(result.text)
                    for line in _account(name, row["text"], len(passages), result, removed):
                        ledger.write(line)
                    row["text"] = result.text
                    if result.dropped:
                        continue
                ledger.write(_line(name, "kept", "", 1, len(row["text"]), 0, ""))
                writer.write(row)
    return counts


def _contaminated_row(match: Mapping[str, Any], text: str) -> dict[str, Any]:
    words = match["last"] - match["first"] + 1
    return {"evaluation": match["name"], "item": match["item"], "id": match["id"], "place": match["first"], "words": words,
            "excerpt": text[:EXCERPT]}  # fmt: skip


def _account(name: str, text: str, passages: int, result: CutText, removed: RemovalWriter) -> Iterator[dict[str, Any]]:
    """Yield the ledger rows of a document that was cut or dropped, and write what it lost to `removed`."""
    if result.dropped:
        removed.write(RULE, name, 0, text, result.dropped)
        yield _line(name, "removed", RULE, passages, len(text), len(text), result.dropped)
        return
    for cut_text in result.removed:
        removed.write(RULE, name, cut_text.start + 1, cut_text.text, cut_text.why)
    size = sum(len(cut_text.text) for cut_text in result.removed)
    yield _line(name, "cut", RULE, len(result.removed), size, len(text) - len(result.text), f"passages: {passages}")


def _line(name: str, action: str, rule: str, count: int, characters: int, net: int, detail: str) -> dict[str, Any]:
    values = (name, "decontaminate", action, rule, count, characters, net, detail)
    return dict(zip(LEDGER.names, values, strict=True))
