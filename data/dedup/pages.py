"""Repeated pages: the second copy of a page-long run of words in one book is cut out, to the word.

Pages need not begin or end with a paragraph, so copies are found as runs of words that stand at one distance from their
first copy; a few differing words inside (a scanner reads no page twice alike) don't end a run. A single line that returns
is too short to be a page, a line repeated over and over is too near its copy, and a passage that an author quotes again
chapters later is too far from it. Costs one pass, linear in the words.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data.dedup.config import SQL, PageRule
from data.dedup.cutting import Run
from data.dedup.grams import Hashed, Unsigned, grams, stirred
from data.dedup.texts import by_document
from data.documents.database import Database

_FOUND = """SELECT number, first, words, 'first at word ' || (first - distance)
            FROM repeated_page ORDER BY number, first, words DESC, distance"""


def find_repeated_pages(work: Database, numbers_D: NDArray[np.int64], words: Hashed, rule: PageRule) -> dict[int, list[Run]]:
    """The runs of words to cut from the documents of a batch, by number."""
    work.set_variables(page_min_words=rule.min_words, page_window=rule.window, page_gap=rule.gap)
    work.set_variables(page_similarity=rule.similarity, page_max_apart=rule.max_apart)
    found = [pa.table({"number": pa.array([], pa.int64()), "position": pa.array([], pa.int64()), "gram": pa.array([], pa.uint64())})]
    for place, block in words.blocks():
        marks = grams(block, rule.window)
        counts_D = np.diff(marks.starts_D)
        book_G = np.repeat(np.arange(len(counts_D)), counts_D)
        again_G = np.flatnonzero(_comes_twice(marks.hashes_W ^ stirred(book_G.astype(np.uint64))))
        position_G = again_G + 1 - marks.starts_D[book_G[again_G]]
        number_G = numbers_D[place][book_G[again_G]]
        found.append(pa.table({"number": number_G, "position": position_G, "gram": marks.hashes_W[again_G]}))
    repeated = pa.concat_tables(found)
    if not repeated.num_rows:
        return {}
    work.run_on_batch(SQL / "pages.sql", repeated)
    return by_document(work.connection.execute(_FOUND).fetchall())


def _comes_twice(keys_G: Unsigned) -> NDArray[np.bool_]:
    """Which keys are equal to another."""
    order_G = np.argsort(keys_G)
    rising_G = keys_G[order_G]
    equal_G = np.concatenate(([False], rising_G[1:] == rising_G[:-1], [False]))
    twice_G = np.empty(len(keys_G), bool)
    twice_G[order_G] = equal_G[1:] | equal_G[:-1]
    return twice_G if len(keys_G) else np.zeros(0, bool)
