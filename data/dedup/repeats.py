"""Repeated text within and across documents: paragraphs and lines of equal words, and passages wherever they begin and end.

Repeated passages: of equal runs of words, wherever they begin and end, the first stays and later ones are cut, to the word.
This is ExactSubstr over words (Lee et al. 2022, arXiv:2107.06499): a word goes if it is part of `min_words` consecutive words that occur
earlier, in a document with a smaller id or in the same one without overlapping. Every such run is found in four steps: minimizers chosen by
winnowing (Schleimer, Wilkerson and Aiken 2003) show where repeats can lie; all windows of `min_words` words around shared ones are compared
by hash; neighbouring matches are joined into the longest passage that both texts share; and the words themselves are compared before
anything is cut.

The result depends on neither the order of the documents nor their batches. A first copy may itself lose words to an earlier passage: what
is cut still exists, perhaps in two places. Costs three passes, some 2 bytes a word on disk for minimizers and 24 for each repeated word.

Repeated paragraphs and lines: keep the first of units with equal words and cut later ones, within and across documents.

Both rules are the same over different units. Units shorter than the rule's minimum are never removed. Costs two passes over the documents
that stay and about 40 bytes on disk for each long unit; what to cut is fetched batch by batch.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from data.dedup.config import SubstringRule, UnitRule
from data.dedup.grams import grams, winnow
from data.dedup.near import SKETCH_SQL, word_hashes
from data.dedup.sql import SQL
from data.dedup.texts import Repeat, Spans, Texts, by_document, split_spans
from data.documents.database import Database
from data.documents.stream import slices
from data.documents.words import PARAGRAPH_BREAK, spans

# While DuckDB splits a text it needs some thirty times its size, beyond its memory limit.
SLICE_CHARACTERS = 4_000_000


class Unit(NamedTuple):
    """A kind of unit: its name in the ledger and its separator, a pattern that means the same in RE2 and in Python."""

    name: str
    separator: str

    def spans(self, text: str) -> Spans:
        """Return start and end of every unit of `text`, in characters."""
        return split_spans(text, re.compile(self.separator))


PARAGRAPH = Unit("paragraph", PARAGRAPH_BREAK)
LINE = Unit("line", r"\n")


def remove_repeated_units(work: Database, texts: Texts, rule: UnitRule, unit: Unit) -> None:
    """Cut every copy that the rule covers from `texts`."""
    if not rule.enabled:
        return
    collect_units(work, texts, rule, unit)
    find_copied_units(work, rule)
    texts.start_rule()
    cut_units(texts, unit)


def collect_units(work: Database, texts: Texts, rule: UnitRule, unit: Unit) -> None:
    """Fill table `unit` with the units of documents that stay and are long enough for the rule."""
    work.connection.execute("CREATE OR REPLACE TABLE unit (number BIGINT, position BIGINT, fingerprint UHUGEINT)")
    work.set_variables(unit_break=unit.separator, unit_min_characters=rule.min_characters)
    for batch in texts.batches():
        for part in slices(batch, SLICE_CHARACTERS):
            work.run_on_batch(SQL / "units.sql", part)


def find_copied_units(work: Database, rule: UnitRule) -> None:
    """Fill table `copy` with the copies that the rule covers."""
    across = rule.scope == "corpus"
    find_copies(work, reach=1, inside=True, across=across, documents=rule.documents if across else 1)


def cut_units(texts: Texts, unit: Unit) -> None:
    """Cut the units in table `copy` from `texts`."""
    query = f"""SELECT copy.number, position, 1, 'first in ' || id || ', {unit.name} ' || origin_position, id
                FROM copy JOIN document AS d ON d.number = origin WHERE copy.number BETWEEN $first AND $last ORDER BY ALL"""
    for batch in texts.batches():
        texts.cut(unit.name, batch, by_document(texts.rows(query, batch)), unit.spans)


def find_copies(work: Database, *, reach: int, inside: bool, across: bool, documents: int) -> None:
    """Fill table `copy` from table `unit`, see repeated.sql. `reach` is the number of positions that a unit covers."""
    work.set_variables(unit_reach=reach, unit_inside=inside, unit_across=across, unit_documents=documents)
    work.run_file(SQL / "repeated.sql")


_STAY = "SELECT batch.* FROM batch SEMI JOIN (SELECT number FROM verdict WHERE rule IS NULL) USING (number)"
_CANDIDATES = "SELECT batch.* FROM batch SEMI JOIN shared_minimizer USING (number)"
_MINIMIZERS = "SELECT number, position FROM shared_minimizer WHERE number BETWEEN $first AND $last ORDER BY ALL"
_ORIGINS = "SELECT DISTINCT origin, origin_first, words FROM repeated_passage WHERE origin BETWEEN $first AND $last ORDER BY ALL"
_PASSAGES = """SELECT r.number, r.first, r.words, d.id, r.origin_first, f.passage
           FROM repeated_passage AS r JOIN document AS d ON d.number = r.origin JOIN first_copy AS f USING (origin, origin_first, words)
           WHERE r.number BETWEEN $first AND $last ORDER BY r.number, r.first, r.words DESC, d.id, r.origin_first"""
_FIRST_COPY = pa.schema([(name, pa.int64()) for name in ("origin", "origin_first", "words")] + [("passage", pa.string())])
FLUSH_CHARACTERS = 4_000_000

# What stands for `count` words of a document from the `first`, by number, first and count: the words or their digest.
Passage = Callable[[int, int, int], str]


def remove_repeated_substrings(work: Database, texts: Texts, rule: SubstringRule) -> None:
    """Cut every passage that occurs earlier from `texts`."""
    if not rule.enabled:
        return
    work.run_file(SQL / "substrings.sql")
    add_minimizers(work, texts, rule.min_words)
    work.run_file(SQL / "shared_minimizers.sql")
    add_windows(work, texts, rule.min_words)
    find_copied_windows(work, rule)
    work.run_file(SQL / "passages.sql")
    texts.start_rule()
    for batch in texts.batches():
        words = _Words(batch)
        # Documents come in order, so the first copies of this batch's passages are in this batch or an earlier one.
        _add_first_copies(texts, batch, words.passage)
        texts.cut("substring", batch, _verified(texts.rows(_PASSAGES, batch), words.passage))


def add_first_digests(texts: Texts) -> None:
    """Add to table `first_copy` the digests, in place of the words, of the passages in `repeated_passage` that these texts hold first."""
    for batch in texts.batches():
        _add_first_copies(texts, batch, _Words(batch).digest)


def cut_passages(texts: Texts) -> None:
    """Cut the passages in table `repeated_passage` whose digests equal those in `first_copy`."""
    for batch in texts.batches():
        texts.cut("substring", batch, _verified(texts.rows(_PASSAGES, batch), _Words(batch).digest))


def find_copied_windows(work: Database, rule: SubstringRule) -> None:
    """Fill table `copy` with the windows in table `unit` that occur earlier."""
    find_copies(work, reach=rule.min_words, inside=rule.inside, across=True, documents=1)


def minimizer_size(min_words: int) -> int:
    """Return the words of a minimizer: half a passage, which proposes few false passages and keeps few minimizers of each document."""
    return (min_words + 1) // 2


def add_minimizers(work: Database, texts: Texts, min_words: int) -> None:
    """Fill table `minimizer` from the documents that stay."""
    size = minimizer_size(min_words)
    for batch in texts.batches():
        numbers_D, words = word_hashes(work.query_batch(SKETCH_SQL, work.query_batch(_STAY, batch)))
        for part, block in words.blocks():
            windows = grams(block, size)
            chosen_G = np.flatnonzero(winnow(windows, min_words - size + 1))
            document_G = np.searchsorted(windows.starts_D, chosen_G, side="right") - 1
            position_G = chosen_G + 1 - windows.starts_D[document_G]
            columns = {"fingerprint": windows.hashes_W[chosen_G], "number": numbers_D[part][document_G], "position": position_G}
            texts.insert("minimizer", pa.table(columns))


def add_windows(work: Database, texts: Texts, min_words: int) -> None:
    """Fill table `unit` with the windows of `min_words` words that contain a shared minimizer."""
    room = min_words - minimizer_size(min_words)
    for batch in texts.batches():
        candidates = work.query_batch(_CANDIDATES, batch)
        if not candidates.num_rows:
            continue
        shared = texts.table(_MINIMIZERS, batch)
        number_M, position_M = (shared[name].to_numpy() for name in ("number", "position"))
        numbers_D, words = word_hashes(work.query_batch(SKETCH_SQL, candidates))
        for part, block in words.blocks():
            windows = grams(block, min_words)
            inside_M = np.isin(number_M, numbers_D[part])
            order_D = np.argsort(numbers_D[part])
            document_M = order_D[np.searchsorted(numbers_D[part][order_D], number_M[inside_M])]
            gram_M = windows.starts_D[document_M] + position_M[inside_M] - 1
            # Each minimizer opens and closes a range of windows; a running sum above 0 marks the windows inside any range.
            change_R = np.zeros(len(windows.hashes_W) + 1, np.int64)
            np.add.at(change_R, np.maximum(gram_M - room, windows.starts_D[document_M]), 1)
            np.add.at(change_R, np.minimum(gram_M + 1, windows.starts_D[document_M + 1]), -1)
            start_R = np.flatnonzero(np.cumsum(change_R) > 0)
            document_R = np.searchsorted(windows.starts_D, start_R, side="right") - 1
            columns = {"number": numbers_D[part][document_R], "position": start_R + 1 - windows.starts_D[document_R]}
            texts.insert("unit", pa.table(columns | {"fingerprint": windows.hashes_W[start_R]}))


def _add_first_copies(texts: Texts, batch: pa.Table, passage: Passage) -> None:
    """Add to table `first_copy` the passages of this batch that later documents are found to repeat."""
    waiting: list[dict[str, Any]] = []
    size = 0
    for origin, first, count in texts.rows(_ORIGINS, batch):
        waiting.append({"origin": origin, "origin_first": first, "words": count, "passage": passage(origin, first, count)})
        size += len(waiting[-1]["passage"])
        if size >= FLUSH_CHARACTERS:
            texts.insert("first_copy", pa.Table.from_pylist(waiting, schema=_FIRST_COPY))
            waiting, size = [], 0
    texts.insert("first_copy", pa.Table.from_pylist(waiting, schema=_FIRST_COPY))


def _verified(rows: Sequence[tuple[Any, ...]], passage: Passage) -> dict[int, list[Repeat]]:
    """Return, by number, the passages whose words equal their first copy's; overlapping ones are merged."""
    repeats: dict[int, list[Repeat]] = {}
    for number, first, count, origin, origin_first, expected in rows:
        if passage(number, first, count) != expected:
            continue
        mine = repeats.setdefault(number, [])
        detail = f"first in {origin}, word {origin_first}"
        if mine and first <= mine[-1].first + mine[-1].size:
            start, length, details, origins = mine.pop()
            first, count = start, max(start + length, first + count) - start
            mine.append(Repeat(first, count, f"{details}; {detail}", tuple(dict.fromkeys((*origins, origin)))))
        else:
            mine.append(Repeat(first, count, detail, (origin,)))
    return repeats


class _Words:
    """The words of a batch's documents, split on first use and kept for one document at a time."""

    def __init__(self, batch: pa.Table) -> None:
        self._texts, self._first = batch["text"], batch["number"][0].as_py()
        self._number, self._words = -1, list[str]()

    def passage(self, number: int, first: int, count: int) -> str:
        """Return `count` words of a document from the `first` (counted from 1), separated by spaces."""
        if number != self._number:
            text = self._texts[number - self._first].as_py()
            self._number, self._words = number, [text[start:end].casefold() for start, end in spans(text)]
        return " ".join(self._words[first - 1 : first - 1 + count])

    def digest(self, number: int, first: int, count: int) -> str:
        """Return the SHA-256 of a passage's words."""
        return hashlib.sha256(self.passage(number, first, count).encode()).hexdigest()
