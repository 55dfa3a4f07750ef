"""Deduplication: documents in, documents without copies out, with the pairs and the ledger that say why.

Order of the rules: repeated pages inside a book, so that a book scanned badly isn't the longest copy; documents of equal
words; near-duplicate documents; long paragraphs that came before. The best copy of a cluster is the one with the longest text
after the page rule, ties by smallest id. The result depends on neither the order of the documents nor the number of threads.
Texts pass through memory in batches, several times; tables beyond `memory` spill into `scratch`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data.dedup.config import SQL, DedupConfig
from data.dedup.near import cluster_documents
from data.dedup.pages import remove_repeated_pages
from data.dedup.paragraphs import find_repeated_paragraphs, without_paragraphs
from data.documents.database import Workspace, workspace
from data.documents.stream import DocumentWriter, batches, ordered

_CLUSTERS = """SELECT v.id, c.id AS cluster FROM verdict AS v JOIN document AS c ON c.number = v.cluster ORDER BY v.id"""
_PAIRS = """SELECT l.id AS a, r.id AS b, jaccard, rule FROM pair
            JOIN document AS l ON l.number = a JOIN document AS r ON r.number = b ORDER BY l.id, r.id"""
_LEDGER = """SELECT id, 'dedup' AS stage, action, rule, count::BIGINT AS count, characters::BIGINT AS characters, net::BIGINT AS net, detail
             FROM ledger ORDER BY id, turn, rule"""


def dedup(documents: Sequence[Path], output: Path, config: DedupConfig, *, threads: int, memory: str, scratch: Path) -> dict[str, float]:
    """Writes `documents.parquet` (kept), `clusters.parquet`, `pairs.parquet` and `ledger.parquet` into `output`.

    `documents` are the files of the shards, in order; they are read one after the other, never put together. `clusters` holds
    (id, cluster) for every document that came in; a cluster is named by its smallest id. `pairs` holds (a, b, jaccard, rule)
    with a < b. `memory` is DuckDB's limit, such as "2GB". Returns counts and characters by rule.
    Raises ValueError for missing columns and repeated ids.
    """
    output.mkdir(parents=True, exist_ok=True)
    with workspace(scratch, threads=threads, memory=memory) as work:
        source = ordered(work, documents)
        paged = remove_repeated_pages(work, source, config.page)
        cluster_documents(work, paged, config)
        repeated = find_repeated_paragraphs(work, paged, config.paragraph)
        kept, characters = _write_kept(work, paged, repeated, output / "documents.parquet")
        work.script(SQL / "ledger.sql")
        for name, query in (("clusters", _CLUSTERS), ("pairs", _PAIRS), ("ledger", _LEDGER)):
            pq.write_table(work.table(query), output / f"{name}.parquet", compression="zstd")
        return {"documents_kept": float(kept), "characters_kept": float(characters), **_metrics(work)}


def _write_kept(work: Workspace, paged: Sequence[Path], repeated: dict[str, set[int]], target: Path) -> tuple[int, int]:
    """Writes the documents that stay and the tables `paragraph_cut` and `emptied`; returns their number and characters."""
    stays = {name for (name,) in work.rows("SELECT id FROM verdict WHERE rule IS NULL")}
    origins = dict(work.connection.execute("SELECT id, min(original) FROM repeated_paragraph GROUP BY id").fetchall())
    cuts: list[dict[str, str | int]] = []
    emptied: list[dict[str, str | int]] = []
    kept = characters = 0
    with DocumentWriter(target) as writer:
        for batch in batches(paged):
            for row in batch.to_pylist():
                name, before = row["id"], len(row["text"])
                if name not in stays:
                    continue
                if name in repeated:
                    row["text"] = without_paragraphs(row["text"], repeated[name])
                    cut = before - len(row["text"])
                    detail = f"first in {origins[name]}"
                    cuts.append({"id": name, "paragraphs": len(repeated[name]), "characters": cut, "detail": detail})
                if not row["text"].strip():
                    emptied.append({"id": name, "characters": len(row["text"])})
                    continue
                writer.write(row)
                kept, characters = kept + 1, characters + len(row["text"])
    _load(work, "paragraph_cut", cuts, ("id", "paragraphs", "characters", "detail"))
    _load(work, "emptied", emptied, ("id", "characters"))
    return kept, characters


def _load(work: Workspace, name: str, rows: list[dict[str, str | int]], columns: tuple[str, ...]) -> None:
    schema = pa.schema([(column, pa.string() if column in ("id", "detail") else pa.int64()) for column in columns])
    work.connection.register("new_rows", pa.Table.from_pylist(rows, schema=schema))
    work.connection.execute(f"CREATE TABLE {name} AS SELECT * FROM new_rows")
    work.connection.unregister("new_rows")


def _metrics(work: Workspace) -> dict[str, float]:
    """Counts by rule, from the ledger and the tables of the run."""
    queries = {
        "documents_in": "SELECT count(*) FROM document",
        "clusters": "SELECT count(DISTINCT cluster) FROM verdict",
        "documents_exact": "SELECT count(*) FROM verdict WHERE rule = 'exact'",
        "documents_near": "SELECT count(*) FROM verdict WHERE rule = 'near'",
        "documents_empty": "SELECT count(*) FROM emptied",
        "pairs_candidate": "SELECT count(*) FROM candidate",
        "pairs_near": "SELECT count(*) FROM near_pair",
        "pages_removed": "SELECT sum(pages) FROM page_cut",
        "paragraphs_removed": "SELECT count(*) FROM repeated_paragraph",
        "characters_removed_page": "SELECT sum(characters) FROM page_cut",
        "characters_removed_paragraph": "SELECT sum(characters) FROM paragraph_cut",
        "characters_removed_document": "SELECT sum(characters) FROM ledger WHERE action IN ('duplicate', 'removed')",
    }
    return {name: work.number(query) for name, query in queries.items()}
