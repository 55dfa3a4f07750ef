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

import pyarrow as pa
import pyarrow.compute as pc

from data.dedup.components import connect_components
from data.dedup.config import DedupConfig
from data.dedup.keep import choose_copies
from data.dedup.near import SKETCH_SQL, NearDuplicates, word_hashes
from data.dedup.pages import find_repeated_pages
from data.dedup.sql import SQL
from data.dedup.substrings import remove_repeated_substrings
from data.dedup.texts import Texts
from data.dedup.units import LINE, PARAGRAPH, remove_repeated_units
from data.documents.database import Database, open_database
from data.documents.ledger import RemovalWriter, require_balance
from data.documents.rows import write_query
from data.documents.schema import LEDGER
from data.documents.stream import COLUMNS, DocumentWriter, sorted_by_id

CLUSTERS = pa.schema([("id", pa.string()), ("cluster", pa.string())])
PAIRS = pa.schema([pa.field(name, pa.float64() if name == "jaccard" else pa.string()) for name in ("a", "b", "jaccard", "rule")])
_CLUSTERS = "SELECT v.id, c.id AS cluster FROM verdict AS v JOIN document AS c ON c.number = v.cluster ORDER BY v.id"
_PAIRS = """SELECT l.id AS a, r.id AS b, jaccard, rule FROM pair
            JOIN document AS l ON l.number = a JOIN document AS r ON r.number = b ORDER BY l.id, r.id"""
_LEDGER = """SELECT id, 'dedup' AS stage, action, rule, count::BIGINT AS count, characters::BIGINT AS characters, net::BIGINT AS net, detail
             FROM ledger ORDER BY id, turn, rule"""
_VERDICTS = """SELECT v.number, v.rule, o.id FROM verdict AS v LEFT JOIN document AS o ON o.number = v.original
               WHERE v.rule IS NOT NULL AND v.number BETWEEN $first AND $last"""


def dedup(documents: Sequence[Path], output: Path, config: DedupConfig, *, threads: int, memory: str, scratch: Path) -> dict[str, float]:
    """Write `documents.parquet` (kept), `clusters.parquet`, `pairs.parquet`, `ledger.parquet` and `removed/` into `output`.

    `documents` are the files of the shards in order; they are read one after the other and never merged. `clusters` holds (id, cluster)
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
        _sketch(work, texts, near, config)
        work.set_variables(exact=config.exact)
        work.run_file(SQL / "exact.sql")
        near.find_pairs(texts)
        connect_components(work)
        choose_copies(work, texts, config)
        remove_repeated_units(work, texts, config.paragraph, PARAGRAPH)
        remove_repeated_units(work, texts, config.line, LINE)
        remove_repeated_substrings(work, texts, config.substring)
        _write_kept(texts, output / "documents.parquet")
        work.run_file(SQL / "ledger.sql")
        for name, query, schema in (("clusters", _CLUSTERS, CLUSTERS), ("pairs", _PAIRS, PAIRS), ("ledger", _LEDGER, LEDGER)):
            write_query(work, query, output / f"{name}.parquet", schema)
        require_balance(work, "dedup", documents, [output / "documents.parquet"], output / "ledger.parquet")
        return _metrics(work)


def _sketch(work: Database, texts: Texts, near: NearDuplicates, config: DedupConfig) -> None:
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


def _write_kept(texts: Texts, target: Path) -> None:
    """Write the documents that stay, and fill table `final`."""
    with DocumentWriter(target) as writer:
        for batch in texts.batches(COLUMNS):
            verdicts = {number: (rule, original) for number, rule, original in texts.rows(_VERDICTS, batch)}
            final: list[dict[str, str | int]] = []
            for row in batch.to_pylist():
                number = row.pop("number")
                rule, original = verdicts.get(number, ("", ""))
                if not rule and not row["text"].strip():
                    rule = "empty"
                if rule:
                    texts.removed.write(rule, row["id"], 0, row["text"], f"kept {original}" if original else "no text is left")
                else:
                    writer.write(row)
                final.append({"number": number, "characters": len(row["text"]), "empty": rule == "empty"})
            texts.insert("final", pa.Table.from_pylist(final))


def _metrics(work: Database) -> dict[str, float]:
    """Return counts by rule, from the ledger and the tables of this call."""
    queries = {
        "documents_in": "SELECT count(*) FROM document",
        "documents_kept": "SELECT count(*) FROM ledger WHERE action = 'kept'",
        "characters_kept": "SELECT sum(characters) FROM ledger WHERE action = 'kept'",
        "clusters": "SELECT count(DISTINCT cluster) FROM verdict",
        "documents_exact": "SELECT count(*) FROM verdict WHERE rule = 'exact_document'",
        "documents_near": "SELECT count(*) FROM verdict WHERE rule = 'near_document'",
        "documents_empty": "SELECT count(*) FROM ledger WHERE action = 'removed'",
        "pairs_candidate": "SELECT count(*) FROM candidate",
        "pairs_near": "SELECT count(*) FROM near_pair",
        "characters_removed_document": "SELECT sum(net) FROM ledger WHERE action IN ('duplicate', 'removed')",
    }
    for rule in ("page", "paragraph", "line", "substring"):
        queries[f"{rule}s_removed"] = f"SELECT sum(pieces) FROM cut WHERE rule = '{rule}'"
        queries[f"characters_removed_{rule}"] = f"SELECT sum(net) FROM cut WHERE rule = '{rule}'"
    return {name: work.number(query) for name, query in queries.items()}
