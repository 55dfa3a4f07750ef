"""Near-duplicate documents: MinHash signatures, the pairs they propose, and the exact similarity of each pair.

MinHash proposes pairs, the true Jaccard similarity of their shingle sets decides, and connected components form clusters, so two members
may be similar only through a third; `pairs` shows through which. Costs two passes over the texts, the second over candidates only.
Signatures take about 8 * bands bytes a document on disk, shingles of candidates about 16 bytes a word.

MinHash signatures (Broder 1997) of shingle sets, divided into bands for locality-sensitive hashing.

Each value is the minimum of an affine hash `a * x + b` modulo 2^64 over the set; a band's bucket mixes the band's number with its `rows`
values. Equal sets have equal buckets; sets of Jaccard similarity s share a given bucket with probability s**rows. Costs bands * rows
operations a shingle, vectorized over the documents of a block.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data.dedup.config import NearRule
from data.dedup.grams import HashLists, grams
from data.dedup.sql import SQL
from data.dedup.texts import Texts
from data.documents.database import Database

UInt64s = NDArray[np.uint64]


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
