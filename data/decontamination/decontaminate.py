"""Removes the text of evaluation sets from the corpus, so models can't memorize them.

The method is GPT-3's (Brown et al. 2020, "Language Models are Few-Shot Learners", appendix C): an n-gram of 13 words that an evaluation
set and a document share is cut out with 200 characters on each side; then pieces shorter than 200 characters are dropped, and so is a
document in more than 10 pieces; n-grams in more than 10 documents are common phrases and stay. Shorter texts count as a whole from 8 words
on, the paper's smallest n. Words are those of `data.documents.words`: unlike the paper's, a word ends at an apostrophe or a hyphen. A
document stays one document, its pieces joined by a blank line. Common phrases are counted over all documents, before any split.

Three steps: `search` finds the n-grams in the texts of each shard, `contamination` decides about all shards without texts, and this module
cuts a shard. The result depends on the documents and the sets alone, not on the shards; every passage is listed with its item, and every
character is accounted for. Costs a pass over the texts; memory holds a few megabytes of them.

Search for evaluation sets: their n-grams in each shard's documents, and which matches of all shards are passages of them.

Costs a pass over the texts, and reads the sets. Memory holds a few megabytes of text; DuckDB holds the n-grams and their matches, and
spills. Two different n-grams count as one if their 64-bit hashes collide: about one in 10^9.

Decides which matches in all shards are passages of evaluation sets, from ids, positions and hashes alone.

An n-gram in more than `common` documents is a common phrase and stays, whichever shards hold them. Costs no pass over any text; DuckDB
holds the matches and spills.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Unpack

import pyarrow as pa

from data.decontamination.config import PASSAGES, ContaminationConfig, CutConfig, SearchConfig
from data.decontamination.evaluation import ItemText, read_held_out, read_texts
from data.decontamination.sql import SQL
from data.documents.database import Database, Limits, by_shard, open_database, parquet
from data.documents.ledger import RemovalWriter, require_balance
from data.documents.rows import LEDGER, RowWriter, rows
from data.documents.sharding import DOCUMENTS, SIZES_FILE
from data.documents.slices import write_slices, write_table
from data.documents.stream import BATCH_CHARACTERS, SizedWriter, batches, slices, sorted_by_id
from data.documents.words import gram_macro, spans

MATCHES, SOUGHT, SETS = "matches.parquet", "sought.parquet", "sets.parquet"
# short: items too short to search for.
_SETS = pa.schema([pa.field(name, pa.string() if name == "name" else pa.int64()) for name in ("name", "items", "short")])


def search(
    documents: Path,
    output: Path,
    config: SearchConfig,
    *,
    root: Path,
    observed: Mapping[str, str] | None,
    held_out: Mapping[str, Sequence[Path]] | None = None,
    **limits: Unpack[Limits],
) -> dict[str, float]:
    """Write what was found in a shard, without texts, into `output`.

    matches.parquet: id, position (of the first word, from 1), size (words), gram (its hash). sought.parquet: the items that these n-grams
    are of: size, gram, name (the set), item (its number). sets.parquet: every set, with its numbers of items and of short ones.
    `held_out`: further sets, by name, which the run itself holds out: the files of documents or of questions.
    Return the number of matches. Raise EvaluationError if a set can't be read.
    """
    output.mkdir(parents=True, exist_ok=True)
    names = [*(evaluation.name for evaluation in config.against), *(held_out or {})]
    with open_database(**limits) as work:
        (source,) = sorted_by_id(work, [documents])
        items = _load(work, chain(read_texts(config, root, observed), read_held_out(held_out or {})), names, config)
        _match(work, source)
        write_table(work, "SELECT DISTINCT id, position::BIGINT AS position, size, gram FROM hit", output / MATCHES)
        write_table(work, "SELECT DISTINCT size, gram, name, item FROM wanted SEMI JOIN hit USING (size, gram)", output / SOUGHT)
        with RowWriter(output / SETS, _SETS) as sets:
            for name, count in items.items():
                searched = int(work.number(f"SELECT count(DISTINCT item) FROM wanted WHERE name = '{name}'"))
                sets.write({"name": name, "items": count, "short": count - searched})
        return {"matches": work.number("SELECT count(*) FROM hit")}


def _load(work: Database, items: Iterator[ItemText], names: Sequence[str], config: SearchConfig) -> dict[str, int]:
    """Fill table `wanted` with the n-grams of the sets, and return the number of items of each set."""
    work.set_variables(most_words=config.words, least_words=config.least_words)
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
    return counts


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


def _match(work: Database, documents: Path) -> None:
    """Fill table `hit`."""
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


_SLICES = """WITH passages AS (
    SELECT id, first, last, NULL::VARCHAR AS name, NULL::BIGINT AS item FROM passage
    UNION ALL SELECT id, first, last, name, item FROM contaminated)
SELECT shard AS slice, passages.* FROM passages JOIN place USING (id)"""


def find_contamination(found: Sequence[Path], output: Path, config: ContaminationConfig, **limits: Unpack[Limits]) -> dict[str, float]:
    """Write slices of the passages by shard: id, first and last word (from 1), name and item; without a name: words to cut.

    `found`: the folders that the search of each shard wrote, in order. Return phrases_common (n-grams that are ignored), and for each set
    `items_<set>`, `items_hit_<set>` and `items_short_<set>` (too short to search for).
    """
    with open_database(**limits) as work:
        work.set_variables(common=config.common)
        work.connection.execute(f"CREATE TABLE hit AS {by_shard([folder / MATCHES for folder in found])}")
        work.connection.execute("CREATE TABLE place AS SELECT DISTINCT id, shard FROM hit")
        work.connection.execute(f"CREATE TABLE wanted AS SELECT DISTINCT * FROM {parquet([folder / SOUGHT for folder in found])}")
        work.run_file(SQL / "passages.sql")
        write_slices(work, _SLICES, (output / PASSAGES).parent, config.shards)
        metrics = {"phrases_common": work.number("SELECT count(*) FROM common")}
        for name, items, short in work.rows(f"SELECT name, items, short FROM {parquet([found[0] / SETS])} ORDER BY name"):
            hit = work.number(f"SELECT count(DISTINCT item) FROM contaminated WHERE name = '{name}'")
            metrics |= {f"items_{name}": float(str(items)), f"items_hit_{name}": hit, f"items_short_{name}": float(str(short))}
        return metrics


SEPARATOR = "\n\n"  # joins the pieces of a document that was cut
PASSAGE, SHORT = "a passage and what is around it", "a piece too short to keep"
Range = tuple[int, int]


class RemovedStretch(NamedTuple):
    """A stretch of text that was removed: its start (in characters, from 0), the text itself, and why."""

    start: int
    text: str
    why: str


class CutText(NamedTuple):
    """The result for a document: the text that stays and what was removed, or the reason to drop it as a whole."""

    text: str
    removed: tuple[RemovedStretch, ...]
    dropped: str


def cut(text: str, passages: Sequence[Range], config: CutConfig) -> CutText:
    """Return `text` without `passages` (start and end in characters, in order).

    Each passage is cut with `window` characters on each side, which leaves pieces. A document in more than `max_pieces` pieces is dropped;
    otherwise pieces shorter than `min_characters`, not counting blanks at their ends, are dropped, and the rest is joined by a blank line.
    """
    if config.action == "drop":
        return CutText("", (), "it holds a passage")
    cuts = _widen(text, passages, config.window)
    edges = [0, *(edge for stretch in cuts for edge in stretch), len(text)]
    pieces = [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if text[start:end].strip()]
    if len(pieces) > config.max_pieces:
        return CutText("", (), f"it falls into {len(pieces)} pieces")
    kept = [(start, end) for start, end in pieces if len(text[start:end].strip()) >= config.min_characters]
    if not kept:
        return CutText("", (), "no piece is long enough to keep")
    removed = [RemovedStretch(start, text[start:end], PASSAGE) for start, end in cuts]
    removed += [RemovedStretch(start, text[start:end], SHORT) for start, end in pieces if (start, end) not in kept]
    return CutText(SEPARATOR.join(text[start:end].strip() for start, end in kept), tuple(sorted(removed)), "")


def _widen(text: str, passages: Sequence[Range], window: int) -> list[Range]:
    """Extend passages by `window` on each side, and merge those that meet."""
    merged: list[Range] = []
    for start, end in passages:
        wide = (max(0, start - window), min(len(text), end + window))
        if merged and wide[0] <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], wide[1]))
        else:
            merged.append(wide)
    return merged


RULE = "decontamination"
# place: the position of the first matching word, from 1.
CONTAMINATED = pa.schema(
    [pa.field(name, pa.int64() if name in ("item", "place", "words") else pa.string()) for name in ("evaluation", "item", "id", "place",
                                                                                                "words", "excerpt")]
)  # fmt: skip
EXCERPT = 400


def decontaminate(documents: Path, passages: Path, output: Path, config: CutConfig, **limits: Unpack[Limits]) -> dict[str, float]:
    """Write `documents.parquet`, `sizes.parquet`, `contaminated.parquet`, `ledger.parquet` and `removed/` of a shard into `output`.

    `passages`: the shard's slice of what `contamination` found.
    contaminated: one row for each item and passage: evaluation (the set), item (its number), id, place, words, excerpt.
    Return documents_contaminated, documents_dropped, passages and characters_removed.
    """
    output.mkdir(parents=True, exist_ok=True)
    with open_database(**limits) as work:
        (source,) = sorted_by_id(work, [documents])
        metrics = _write(work, source, passages, output, config)
        require_balance(work, "decontaminate", [documents], [output / DOCUMENTS], output / "ledger.parquet")
        return metrics


def _write(work: Database, documents: Path, passages: Path, output: Path, config: CutConfig) -> dict[str, float]:
    counts = dict.fromkeys(("documents_contaminated", "documents_dropped", "passages", "characters_removed"), 0.0)
    matches = rows(work, f"SELECT * FROM {parquet([passages])} ORDER BY id, first, last, name NULLS FIRST, item")
    match = next(matches, None)
    with (
        SizedWriter(output / DOCUMENTS, output / SIZES_FILE) as writer,
        RowWriter(output / "ledger.parquet", LEDGER) as ledger,
        RowWriter(output / "contaminated.parquet", CONTAMINATED) as listed,
        RemovalWriter(output) as removed,
    ):
        for batch in batches(documents):
            for row in batch.to_pylist():
                name, before = row["id"], len(row["text"])
                word_spans = spans(row["text"]) if match is not None and match["id"] == name else []
                cuts: list[tuple[int, int]] = []
                while match is not None and match["id"] == name:
                    start, end = word_spans[match["first"] - 1][0], word_spans[match["last"] - 1][1]
                    if match["name"] is None:
                        cuts.append((start, end))
                    else:
                        listed.write(_contaminated_row(match, row["text"][start:end]))
                    match = next(matches, None)
                if cuts:
                    result = cut(row["text"], cuts, config)
                    counts["documents_contaminated"] += 1
                    counts["documents_dropped"] += bool(result.dropped)
                    counts["passages"] += len(cuts)
                    counts["characters_removed"] += before - len(result.text)
                    for line in _account(name, row["text"], len(cuts), result, removed):
                        ledger.write(line)
                    row["text"] = result.text
                    if result.dropped:
                        continue
                ledger.write(_line(name, "kept", "", 1, len(row["text"]), 0, ""))
                writer.write(row)
    if match is not None:
        raise ValueError(f"{passages.name} lists passages of document {match['id']}, which {documents.name} doesn't hold in order of id")
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
