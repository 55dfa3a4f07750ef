"""Exact and near-duplicate documents: clusters, the pairs that prove them, and each document's verdict.

MinHash proposes pairs, the true Jaccard similarity of their shingle sets decides, connected components make clusters (so two
members may be alike only through a third; `pairs` shows through which). Costs two passes over the texts, the second only
over candidates; signatures take about 8 * bands bytes a document on disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data.dedup.config import SQL, DedupConfig
from data.dedup.minhash import MinHash
from data.documents.database import Workspace
from data.documents.stream import batches
from data.documents.words import gram_macro

_SETS = """WITH hashed AS MATERIALIZED (SELECT number, word_hashes(text) AS hashes FROM batch)
           SELECT number, shingles(hashes) AS shingles FROM hashed ORDER BY number"""


def cluster_documents(work: Workspace, documents: Sequence[Path], config: DedupConfig) -> None:
    """Fills the tables `document`, `pair` and `verdict`. `documents` must ascend by id: numbers then rank like ids."""
    near = config.near
    work.connection.execute("CREATE TABLE document (number BIGINT, id VARCHAR, characters BIGINT, fingerprint UHUGEINT)")
    work.connection.execute("CREATE TABLE signature (number BIGINT, band INTEGER, bucket UBIGINT)")
    work.connection.execute("CREATE TABLE shingle (number BIGINT, shingle UBIGINT)")
    work.connection.execute(gram_macro("shingles", near.shingle))
    work.set(exact=config.exact, near_bucket=near.bucket, near_threshold=near.threshold, near_remove=near.action == "remove")
    hashes = MinHash(near.bands, near.rows, near.seed)
    for batch in _numbered(documents):
        work.on_batch(SQL / "sketch.sql", batch)
        if near.enabled:
            _sign(work, batch, hashes)
    work.script(SQL / "exact.sql")
    work.script(SQL / "candidates.sql")
    if work.number("SELECT count(*) FROM candidate"):
        for batch in _numbered(documents):
            work.on_batch(SQL / "shingles.sql", batch)
    work.script(SQL / "verify.sql")
    work.script(SQL / "clusters.sql")


def _numbered(documents: Sequence[Path]) -> Iterator[pa.Table]:
    first = 0
    for batch in batches(documents, ("id", "text")):
        yield batch.append_column("number", pa.array(np.arange(first, first + batch.num_rows, dtype=np.int64)))
        first += batch.num_rows


def _sign(work: Workspace, batch: pa.Table, hashes: MinHash) -> None:
    """Adds the signatures of a batch; documents without words have none and resemble nothing."""
    work.connection.register("batch", batch)
    try:
        sets = work.table(_SETS)
    finally:
        work.connection.unregister("batch")
    column: Any = sets["shingles"].combine_chunks()
    ends = column.offsets.to_numpy().astype(np.int64)
    present_D = np.flatnonzero(np.diff(ends) > 0)
    buckets_DB = hashes.buckets(column.values.to_numpy(), ends[:-1][present_D])
    numbers_D = sets["number"].to_numpy()[present_D]
    signature = pa.table(
        {
            "number": np.repeat(numbers_D, hashes.bands),
            "band": np.tile(np.arange(hashes.bands, dtype=np.int32), len(numbers_D)),
            "bucket": buckets_DB.reshape(-1),
        }
    )
    work.connection.register("new_signature", signature)
    try:
        work.connection.execute("INSERT INTO signature SELECT * FROM new_signature")
    finally:
        work.connection.unregister("new_signature")
