"""Near-duplicate documents: MinHash signatures, the pairs they propose, and the exact similarity of each pair.

MinHash proposes pairs, the true Jaccard similarity of their shingle sets decides, and connected components form clusters, so two members
may be similar only through a third; `pairs` shows through which. Costs two passes over the texts, the second over candidates only.
Signatures take about 8 * bands bytes a document on disk, shingles of candidates about 16 bytes a word.

MinHash signatures (Broder 1997) of shingle sets, divided into bands for locality-sensitive hashing.

Each value is the minimum of an affine hash `a * x + b` modulo 2^64 over the set; a band's bucket mixes the band's number with its `rows`
values. Equal sets have equal buckets; sets of Jaccard similarity s share a given bucket with probability s**rows. Costs bands * rows
operations a shingle, vectorized over the documents of a block.

The first pass over the texts: cut repeated pages, and take a sketch and a signature of what is left of each document.

Repeated pages: cuts the second copy of a page-long run of words in one book, to the word.

Pages need not begin or end with a paragraph, so copies are found as runs of words at a constant distance from their first copy. A few
different words inside a run don't end it, since a scanner never reads a page twice the same way. A single repeated line is too short to
be a page, a line repeated over and over is too near its copy, and a passage that the author quotes chapters later is too far away.
Costs one pass, linear in the words.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data.dedup.config import DedupConfig, NearRule, PageRule
from data.dedup.grams import HashLists, UInt64s, grams, mix64
from data.dedup.sql import SQL
from data.dedup.texts import Repeat, Texts, by_document
from data.documents.database import Database
from data.documents.stream import COLUMNS


class MinHash:
    """`bands * rows` hash functions drawn from one seed."""

    def __init__(self, bands: int, rows: int, seed: int) -> None:
        random = np.random.Generator(np.random.PCG64(seed))
        self.bands, self.rows = bands, rows
        shape = bands * rows
        odd = np.uint64(1)
        self._a = random.integers(0, 2**64, shape, dtype=np.uint64) | odd
        self._b = random.integers(0, 2**64, shape, dtype=np.uint64)
        self._mix = random.integers(0, 2**64, (1, rows), dtype=np.uint64) | odd
        self._band = random.integers(0, 2**64, bands, dtype=np.uint64)

    def buckets(self, shingles_S: UInt64s, starts_D: NDArray[np.int64]) -> UInt64s:
        """Return the buckets (documents, bands) of the sets that start at `starts_D` in `shingles_S`; none may be empty."""
        buckets_DB = np.broadcast_to(self._band, (len(starts_D), self.bands)).copy()
        if not len(starts_D):
            return buckets_DB
        hashed_S = np.empty_like(shingles_S)
        for band in range(self.bands):
            for row in range(self.rows):
                k = band * self.rows + row
                np.multiply(shingles_S, self._a[k], out=hashed_S)
                hashed_S += self._b[k]
                least_D = np.minimum.reduceat(hashed_S, starts_D)
                least_D ^= least_D >> np.uint64(29)
                buckets_DB[:, band] += least_D * self._mix[0, row]
        return buckets_DB


Numbers = NDArray[np.int64]
SKETCH_SQL = (SQL / "sketch.sql").read_text(encoding="utf-8")
FOLDED_SQL = (SQL / "folded.sql").read_text(encoding="utf-8")


class NearDuplicates:
    """The rule `near`: signatures are added batch by batch, then `find_pairs` finds the pairs of all documents."""

    def __init__(self, work: Database, rule: NearRule, pool: Executor) -> None:
        self._work, self._rule, self._pool = work, rule, pool
        self._minhash = MinHash(rule.bands, rule.rows, rule.seed)
        set_near_variables(work, rule)

    def add_signatures(self, texts: Texts, batch: pa.Table, numbers_D: Numbers, words: HashLists) -> None:
        """Add the signatures of a batch. Documents without words get none and are similar to nothing."""
        if self._rule.enabled:
            numbers_D, words = self._fold_spelling(batch, numbers_D, words)
            texts.insert("signature", self._map_blocks(self._sign, numbers_D, words))

    def find_pairs(self, texts: Texts) -> None:
        """Fill table `near_pair`, from `exact` and the signatures."""
        self._work.run_file(SQL / "candidates.sql")
        self.add_shingles(texts)
        self._work.run_file(SQL / "verify.sql")

    def add_shingles(self, texts: Texts) -> None:
        """Fill tables `shingle` and `shingle_count` with the sets of the documents in `proposed`."""
        if not self._work.number("SELECT count(*) FROM proposed"):
            return
        for batch in texts.batches():
            proposed = self._work.query_batch("SELECT * FROM batch SEMI JOIN proposed USING (number)", batch)
            if proposed.num_rows:
                self._add_shingles_of(texts, proposed)

    def _add_shingles_of(self, texts: Texts, batch: pa.Table) -> None:
        words = word_hashes(self._work.query_batch(SKETCH_SQL, batch))
        shingles = self._map_blocks(self._shingles, *self._fold_spelling(batch, *words))
        texts.insert("shingle", shingles)
        texts.insert("shingle_count", shingles.group_by("number").aggregate([("shingle", "count")]))

    def _fold_spelling(self, batch: pa.Table, numbers_D: Numbers, words: HashLists) -> tuple[Numbers, HashLists]:
        return (numbers_D, words) if self._rule.spelling == "exact" else word_hashes(self._work.query_batch(FOLDED_SQL, batch))

    def _map_blocks(self, function: Callable[[Numbers, HashLists], pa.Table], numbers_D: Numbers, words: HashLists) -> pa.Table:
        """Apply `function` to each block in the thread pool, and concatenate the results in order."""
        blocks = list(words.blocks())
        return pa.concat_tables(self._pool.map(function, [numbers_D[part] for part, _ in blocks], [block for _, block in blocks]))

    def _sign(self, numbers_D: Numbers, words: HashLists) -> pa.Table:
        shingles = grams(words, self._rule.shingle)
        present_D = np.flatnonzero(np.diff(shingles.starts_D) > 0)
        buckets_DB = self._minhash.buckets(shingles.hashes_W, shingles.starts_D[:-1][present_D])
        return pa.table({"number": np.repeat(numbers_D[present_D], self._rule.bands), "bucket": buckets_DB.reshape(-1)})

    def _shingles(self, numbers_D: Numbers, words: HashLists) -> pa.Table:
        shingles = grams(words, self._rule.shingle)
        sets = [np.unique(shingles.hashes_W[start:end]) for start, end in zip(shingles.starts_D[:-1], shingles.starts_D[1:], strict=True)]
        numbers = np.repeat(numbers_D, [len(one) for one in sets])
        return pa.table({"number": numbers, "shingle": np.concatenate(sets) if sets else np.zeros(0, np.uint64)})


def set_near_variables(work: Database, rule: NearRule) -> None:
    """Set the SQL variables by which the rule's queries decide."""
    work.set_variables(near_bucket=rule.bucket, near_threshold=rule.threshold, near_remove=rule.action == "remove")


def word_hashes(sketch: Any) -> tuple[Numbers, HashLists]:
    """Return the numbers and word hashes of the documents of a table with columns `number` and `hashes`."""
    return sketch["number"].to_numpy(), HashLists.from_column(sketch["hashes"])


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
