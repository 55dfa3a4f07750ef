"""Exact and near-duplicate documents: what each is (its sketch), and the clusters and the pairs that prove them.

MinHash proposes pairs, the true Jaccard similarity of their shingle sets decides, connected components make clusters (so two
members may be alike only through a third; `pairs` shows through which). Costs two passes over the texts, the second only
over candidates; signatures take about 8 * bands bytes a document on disk, shingles of candidates about 16 bytes a word.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data.dedup.config import SQL, NearRule
from data.dedup.grams import Hashed, grams
from data.dedup.minhash import MinHash
from data.dedup.texts import Texts
from data.documents.database import Database

Numbers = NDArray[np.int64]
EXACT = (SQL / "sketch.sql").read_text(encoding="utf-8")
FOLDED = (SQL / "folded.sql").read_text(encoding="utf-8")


class Near:
    """The rule: signatures batch by batch, then the pairs of the whole corpus."""

    def __init__(self, work: Database, rule: NearRule, pool: Executor) -> None:
        self._work, self._rule, self._pool = work, rule, pool
        self._hashes = MinHash(rule.bands, rule.rows, rule.seed)
        work.run_file(SQL / "near.sql")
        work.set_variables(near_bucket=rule.bucket, near_threshold=rule.threshold, near_remove=rule.action == "remove")

    def sign(self, texts: Texts, batch: pa.Table, numbers_D: Numbers, words: Hashed) -> None:
        """Adds the signatures of a batch; documents without words have none and resemble nothing."""
        if self._rule.enabled:
            numbers_D, words = self._spelt(batch, numbers_D, words)
            texts.insert("signature", self._mapped(self._sign, numbers_D, words))

    def find_pairs(self, texts: Texts) -> None:
        """Fills the table `near_pair`, from `exact` and the signatures."""
        self._work.run_file(SQL / "candidates.sql")
        if self._work.number("SELECT count(*) FROM asked"):
            for batch in texts.batches():
                asked = self._work.query_batch("SELECT * FROM batch SEMI JOIN proposed USING (number)", batch)
                if asked.num_rows:
                    self._collect(texts, asked)
        self._work.run_file(SQL / "verify.sql")

    def _collect(self, texts: Texts, batch: pa.Table) -> None:
        shingles = self._mapped(self._shingles, *self._spelt(batch, *hashed(self._work.query_batch(EXACT, batch))))
        texts.insert("shingle", shingles)
        texts.insert("shingle_count", shingles.group_by("number").aggregate([("shingle", "count")]))

    def _spelt(self, batch: pa.Table, numbers_D: Numbers, words: Hashed) -> tuple[Numbers, Hashed]:
        return (numbers_D, words) if self._rule.spelling == "exact" else hashed(self._work.query_batch(FOLDED, batch))

    def _mapped(self, work: Callable[[Numbers, Hashed], pa.Table], numbers_D: Numbers, words: Hashed) -> pa.Table:
        """What `work` makes of each block, one after the other."""
        blocks = list(words.blocks())
        return pa.concat_tables(self._pool.map(work, [numbers_D[place] for place, _ in blocks], [block for _, block in blocks]))

    def _sign(self, numbers_D: Numbers, words: Hashed) -> pa.Table:
        shingles = grams(words, self._rule.shingle)
        present_D = np.flatnonzero(np.diff(shingles.starts_D) > 0)
        buckets_DB = self._hashes.buckets(shingles.hashes_W, shingles.starts_D[:-1][present_D])
        return pa.table({"number": np.repeat(numbers_D[present_D], self._rule.bands), "bucket": buckets_DB.reshape(-1)})

    def _shingles(self, numbers_D: Numbers, words: Hashed) -> pa.Table:
        shingles = grams(words, self._rule.shingle)
        sets = [np.unique(shingles.hashes_W[start:end]) for start, end in zip(shingles.starts_D[:-1], shingles.starts_D[1:], strict=True)]
        numbers = np.repeat(numbers_D, [len(one) for one in sets])
        return pa.table({"number": numbers, "shingle": np.concatenate(sets) if sets else np.zeros(0, np.uint64)})


def hashed(sketch: Any) -> tuple[Numbers, Hashed]:
    """Numbers and word hashes of the documents of a table that has the columns `number` and `hashes`."""
    return sketch["number"].to_numpy(), Hashed.of(sketch["hashes"])
