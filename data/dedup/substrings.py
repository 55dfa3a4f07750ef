"""Repeated passages: of equal runs of words, wherever they begin and end, the first stays and later ones are cut out, to the word.

The rule (ExactSubstr; Lee et al. 2022, arXiv:2107.06499, over words): a word goes if it stands in `min_words` words in a row that came
before, in a document of smaller id or earlier in the same one without overlapping. Every such run is found: winnowed fingerprints
(Schleimer, Wilkerson and Aiken 2003) say where one can be, all runs of that length there are compared by hash, neighbours joined to the
longest runs that both texts share, and the words themselves of each compared before it is cut.

The result depends on neither the order of the documents nor their batches. A first copy may lose words to a passage before it: what is
cut still stands, perhaps in two places. Costs three passes, some 2 bytes a word on disk for fingerprints and 24 for each repeated word.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from data.dedup.config import SQL, SubstringRule
from data.dedup.cutting import Run
from data.dedup.grams import grams, winnowed
from data.dedup.near import EXACT, hashed
from data.dedup.pieces import find_copies
from data.dedup.texts import Texts
from data.documents.database import Database
from data.documents.words import spans

_STAY = "SELECT batch.* FROM batch SEMI JOIN (SELECT number FROM verdict WHERE rule IS NULL) USING (number)"
_MARKED = "SELECT batch.* FROM batch SEMI JOIN shared_mark USING (number)"
_MARKS = "SELECT number, position FROM shared_mark WHERE number BETWEEN $first AND $last ORDER BY ALL"
_ORIGINS = "SELECT DISTINCT origin, origin_first, words FROM run WHERE origin BETWEEN $first AND $last ORDER BY ALL"
_RUNS = """SELECT r.number, r.first, r.words, d.id, r.origin_first, p.passage
           FROM run AS r JOIN document AS d ON d.number = r.origin JOIN passage AS p USING (origin, origin_first, words)
           WHERE r.number BETWEEN $first AND $last ORDER BY r.number, r.first, r.words DESC, d.id, r.origin_first"""
_PASSAGE = pa.schema([(name, pa.int64()) for name in ("origin", "origin_first", "words")] + [("passage", pa.string())])
HELD = 4_000_000


def remove_repeated_substrings(work: Database, texts: Texts, rule: SubstringRule) -> None:
    """Cuts from `texts` every passage that came before."""
    if not rule.enabled:
        return
    work.run_file(SQL / "substrings.sql")
    _mark(work, texts, rule.min_words)
    work.run_file(SQL / "shared_marks.sql")
    _compare(work, texts, rule.min_words)
    find_copies(work, reach=rule.min_words, inside=rule.inside, across=True, documents=1)
    work.run_file(SQL / "runs.sql")
    texts.begin()
    for batch in texts.batches():
        words = _Words(batch)
        _keep_passages(texts, batch, words)
        texts.cut("substring", batch, _verified(texts.rows(_RUNS, batch), words))


def mark_size(min_words: int) -> int:
    """Words in a fingerprint: half of a passage, so that few that are no passage are proposed and few are chosen of each."""
    return (min_words + 1) // 2


def _mark(work: Database, texts: Texts, min_words: int) -> None:
    """Fills `mark` with the fingerprints of the documents that stay."""
    size = mark_size(min_words)
    for batch in texts.batches():
        numbers_D, words = hashed(work.query_batch(EXACT, work.query_batch(_STAY, batch)))
        for place, block in words.blocks():
            marks = grams(block, size)
            chosen_G = np.flatnonzero(winnowed(marks, min_words - size + 1))
            book_G = np.searchsorted(marks.starts_D, chosen_G, side="right") - 1
            position_G = chosen_G + 1 - marks.starts_D[book_G]
            columns = {"fingerprint": marks.hashes_W[chosen_G], "number": numbers_D[place][book_G], "position": position_G}
            texts.insert("mark", pa.table(columns))


def _compare(work: Database, texts: Texts, min_words: int) -> None:
    """Fills `piece` with the runs of `min_words` words that hold a fingerprint that came more than once."""
    room = min_words - mark_size(min_words)
    for batch in texts.batches():
        marked = work.query_batch(_MARKED, batch)
        if not marked.num_rows:
            continue
        shared = texts.table(_MARKS, batch)
        number_M, position_M = (shared[name].to_numpy() for name in ("number", "position"))
        numbers_D, words = hashed(work.query_batch(EXACT, marked))
        for place, block in words.blocks():
            runs = grams(block, min_words)
            inside_M = np.isin(number_M, numbers_D[place])
            order_D = np.argsort(numbers_D[place])
            book_M = order_D[np.searchsorted(numbers_D[place][order_D], number_M[inside_M])]
            gram_M = runs.starts_D[book_M] + position_M[inside_M] - 1
            change_R = np.zeros(len(runs.hashes_W) + 1, np.int64)
            np.add.at(change_R, np.maximum(gram_M - room, runs.starts_D[book_M]), 1)
            np.add.at(change_R, np.minimum(gram_M + 1, runs.starts_D[book_M + 1]), -1)
            start_R = np.flatnonzero(np.cumsum(change_R) > 0)
            book_R = np.searchsorted(runs.starts_D, start_R, side="right") - 1
            columns = {"number": numbers_D[place][book_R], "position": start_R + 1 - runs.starts_D[book_R]}
            texts.insert("piece", pa.table(columns | {"fingerprint": runs.hashes_W[start_R]}))


def _keep_passages(texts: Texts, batch: pa.Table, words: _Words) -> None:
    """Adds to `passage` what the runs of other documents are said to repeat from those of this batch."""
    held: list[dict[str, Any]] = []
    size = 0
    for origin, first, count in texts.rows(_ORIGINS, batch):
        held.append({"origin": origin, "origin_first": first, "words": count, "passage": words.passage(origin, first, count)})
        size += len(held[-1]["passage"])
        if size >= HELD:
            texts.insert("passage", pa.Table.from_pylist(held, schema=_PASSAGE))
            held, size = [], 0
    texts.insert("passage", pa.Table.from_pylist(held, schema=_PASSAGE))


def _verified(rows: Sequence[tuple[Any, ...]], words: _Words) -> dict[int, list[Run]]:
    """The runs whose words are those of their first copy, overlapping ones as one, by number."""
    runs: dict[int, list[Run]] = {}
    for number, first, count, origin, origin_first, passage in rows:
        if words.passage(number, first, count) != passage:
            continue
        mine = runs.setdefault(number, [])
        detail = f"first in {origin}, word {origin_first}"
        if mine and first <= mine[-1].first + mine[-1].size:
            start, length, details, origins = mine.pop()
            first, count = start, max(start + length, first + count) - start
            mine.append(Run(first, count, f"{details}; {detail}", tuple(dict.fromkeys((*origins, origin)))))
        else:
            mine.append(Run(first, count, detail, (origin,)))
    return runs


class _Words:
    """The words of a batch's documents, found when first asked for and kept for one document at a time."""

    def __init__(self, batch: pa.Table) -> None:
        self._texts, self._first = batch["text"], batch["number"][0].as_py()
        self._number, self._words = -1, list[str]()

    def passage(self, number: int, first: int, count: int) -> str:
        """`count` words of a document from the `first`, counted from 1, a space between two."""
        if number != self._number:
            text = self._texts[number - self._first].as_py()
            self._number, self._words = number, [text[start:end].casefold() for start, end in spans(text)]
        return " ".join(self._words[first - 1 : first - 1 + count])
