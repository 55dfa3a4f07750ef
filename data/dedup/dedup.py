"""Deduplication: documents in; documents without copies out, with the pairs and the ledger that explain every removal.

Rules run in this order: repeated pages inside a book (or a badly scanned book would be the longest copy); documents of equal words;
near-duplicate documents; then, in what is left, repeated paragraphs, lines and passages. `config.keep` decides which copy stays; ties go
to the smallest id.

The result depends on neither the order of the documents nor the number of threads or the memory. Every character is accounted for, and
every removed document and passage is kept word for word in `removed/<rule>.parquet`.
Time is linear in the text, which is read several times in batches; tables beyond `memory` spill into `scratch`. Memory is `memory` plus
about 280 MB, of which libraries take 110; nothing in Python grows with the number of documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from data.dedup.components import connect_components
from data.dedup.config import DedupConfig
from data.dedup.keep import choose_copies
from data.dedup.near import NearDuplicates
from data.dedup.results import CLUSTERS, LEDGER, PAIRS, count_by_rule
from data.dedup.shards import write_shards
from data.dedup.sketch import sketch_documents
from data.dedup.sql import SQL
from data.dedup.substrings import remove_repeated_substrings
from data.dedup.texts import Texts
from data.dedup.units import LINE, PARAGRAPH, remove_repeated_units
from data.documents.database import open_database
from data.documents.ledger import RemovalWriter, require_balance
from data.documents.sharding import shard_files
from data.documents.stream import sorted_by_id


def dedup(documents: Sequence[Path], output: Path, config: DedupConfig, *, threads: int, memory: str, scratch: Path) -> dict[str, float]:
    """Write `documents/` (kept), `sizes/`, `clusters.parquet`, `pairs.parquet`, `ledger.parquet` and `removed/` into `output`.

    `documents` are the files of the shards in order; they are read one after the other and never merged, and `documents/` and `sizes/` have
    a file for each (see `data.documents.sharding`). `clusters` holds (id, cluster)
    for every input document; a cluster is named by its smallest id. `pairs` holds (a, b, jaccard, rule) with a < b. `memory` is DuckDB's
    limit, such as "2GB". Return counts and characters by rule.
    Raise ValueError for missing columns and repeated ids, and Unbalanced if the ledger doesn't account for every character.
    """
    output.mkdir(parents=True, exist_ok=True)
    with (
        open_database(scratch, threads=threads, memory=memory) as work,
        RemovalWriter(output) as removed,
        ThreadPoolExecutor(threads) as pool,
    ):
        work.run_file(SQL / "tables.sql")
        texts = Texts(work, sorted_by_id(work, documents), removed)
        near = NearDuplicates(work, config.near, pool)
        sketch_documents(work, texts, near, config)
        work.set_variables(exact=config.exact)
        work.run_file(SQL / "exact.sql")
        near.find_pairs(texts)
        connect_components(work)
        choose_copies(work, texts, config)
        remove_repeated_units(work, texts, config.paragraph, PARAGRAPH)
        remove_repeated_units(work, texts, config.line, LINE)
        remove_repeated_substrings(work, texts, config.substring)
        write_shards(work, texts, documents, output)
        work.run_file(SQL / "ledger.sql")
        for table in (CLUSTERS, PAIRS, LEDGER):
            table.write(work, output)
        require_balance(work, "dedup", documents, shard_files(output, len(documents)), output / "ledger.parquet")
        return count_by_rule(work)
