"""The first pass over the texts: cut repeated pages, and take a sketch and a signature of what is left of each document.

Repeated pages: cuts the second copy of a page-long run of words in one book, to the word.

Pages need not begin or end with a paragraph, so copies are found as runs of words at a constant distance from their first copy. A few
different words inside a run don't end it, since a scanner never reads a page twice the same way. A single repeated line is too short to
be a page, a line repeated over and over is too near its copy, and a passage that the author quotes chapters later is too far away.
Costs one pass, linear in the words.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data.dedup.config import DedupConfig, PageRule
from data.dedup.grams import HashLists, UInt64s, grams, mix64
from data.dedup.near import SKETCH_SQL, NearDuplicates, word_hashes
from data.dedup.sql import SQL
from data.dedup.texts import Repeat, Texts, by_document
from data.documents.database import Database
from data.documents.stream import COLUMNS

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


def sketch_documents(work: Database, texts: Texts, near: NearDuplicates, config: DedupConfig) -> None:
    """Cut repeated pages, and fill tables `document` and `signature` from the texts that are left."""
    preferred = {
        "source": pa.array(config.prefer_sources, pa.string()),
        "preference": pa.array(range(len(config.prefer_sources)), pa.int64()),
    }
    texts.insert("preferred", pa.table(preferred))
    for batch in texts.batches(tuple(name for name in COLUMNS if name != "title")):
        sketch = work.query_batch(SKETCH_SQL, batch)
        if config.page.enabled and (repeats := find_repeated_pages(work, *word_hashes(sketch), config.page)):
            batch = texts.cut("page", batch, repeats)
            changed = pc.is_in(sketch["number"], pa.array(list(repeats)))
            again = batch.filter(pc.is_in(batch["number"], pa.array(list(repeats))))
            sketch = pa.concat_tables([sketch.filter(pc.invert(changed)), work.query_batch(SKETCH_SQL, again)])
        texts.insert("sketch", sketch.drop_columns("hashes"))
        work.run_on_batch(SQL / "add_documents.sql", batch)
        near.add_signatures(texts, batch, *word_hashes(sketch))
