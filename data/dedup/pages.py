"""Repeated pages: cuts the second copy of a page-long run of words in one book, to the word.

Pages need not begin or end with a paragraph, so copies are found as runs of words at a constant distance from their first copy. A few
different words inside a run don't end it, since a scanner never reads a page twice the same way. A single repeated line is too short to
be a page, a line repeated over and over is too near its copy, and a passage that the author quotes chapters later is too far away.
Costs one pass, linear in the words.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data.dedup.config import PageRule
from data.dedup.cutting import Repeat
from data.dedup.grams import HashLists, UInt64s, grams, mix64
from data.dedup.sql import SQL
from data.dedup.texts import by_document
from data.documents.database import Database

_FOUND = """SELECT number, first, words, 'first at word ' || (first - distance)
            FROM repeated_page ORDER BY number, first, words DESC, distance"""


def find_repeated_pages(work: Database, numbers_D: NDArray[np.int64], words: HashLists, rule: PageRule) -> dict[int, list[Repeat]]:
    """Return the repeats to cut from the documents of a batch, by number."""
    work.set_variables(page_min_words=rule.min_words, page_window=rule.window, page_gap=rule.gap)
    work.set_variables(page_similarity=rule.similarity, page_max_apart=rule.max_apart)
    tables = [pa.table({"number": pa.array([], pa.int64()), "position": pa.array([], pa.int64()), "gram": pa.array([], pa.uint64())})]
    for part, block in words.blocks():
        windows = grams(block, rule.window)
        counts_D = np.diff(windows.starts_D)
        document_G = np.repeat(np.arange(len(counts_D)), counts_D)
        # The key includes the document, so only repeats within one book count.
        repeated_G = np.flatnonzero(_is_repeated(windows.hashes_W ^ mix64(document_G.astype(np.uint64))))
        position_G = repeated_G + 1 - windows.starts_D[document_G[repeated_G]]
        number_G = numbers_D[part][document_G[repeated_G]]
        tables.append(pa.table({"number": number_G, "position": position_G, "gram": windows.hashes_W[repeated_G]}))
    repeated = pa.concat_tables(tables)
    if not repeated.num_rows:
        return {}
    work.run_on_batch(SQL / "pages.sql", repeated)
    return by_document(work.connection.execute(_FOUND).fetchall())


def _is_repeated(keys_G: UInt64s) -> NDArray[np.bool_]:
    """Return which keys occur more than once."""
    order_G = np.argsort(keys_G)
    sorted_G = keys_G[order_G]
    equal_G = np.concatenate(([False], sorted_G[1:] == sorted_G[:-1], [False]))
    repeated_G = np.empty(len(keys_G), bool)
    repeated_G[order_G] = equal_G[1:] | equal_G[:-1]
    return repeated_G if len(keys_G) else np.zeros(0, bool)
