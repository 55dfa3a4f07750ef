"""An index of the passages of documents: what BM25 counts, as Parquet.

passages.parquet holds each passage with its document and place, by document; postings.parquet how often each term occurs in each passage,
by term, so that a question reads the row groups of its own terms. Equal documents give equal bytes. Memory holds a batch of documents;
DuckDB counts, and spills beyond its limit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Unpack

import pyarrow as pa
import pyarrow.parquet as pq

from data.documents.database import Database, Limits, open_database
from data.documents.rows import RowWriter
from data.documents.stream import batches
from data.searching.passages import PASSAGES_FILE, POSTINGS_FILE, IndexConfig, cut_passages, terms

# id: the document's. document: its name, source and path. start, end: place in the document's text as cleaning left it; characters.
STRING: Any = pa.string()
NUMBER: Any = pa.int64()
PASSAGES = pa.schema(
    dict.fromkeys(("id", "document", "title", "text"), STRING) | dict.fromkeys(("passage", "start", "end", "terms"), NUMBER)
)
OCCURRENCES = pa.schema({"term": STRING, "passage": NUMBER})
POSTINGS = pa.schema({"term": STRING, "passage": NUMBER, "count": NUMBER})
GROUP_ROWS = 32_768


def build_index(documents: Path, output: Path, config: IndexConfig, **limits: Unpack[Limits]) -> dict[str, float]:
    """Index a file of documents into `output`; return how many documents, passages and terms it has."""
    output.mkdir(parents=True, exist_ok=True)
    count = held = 0
    with open_database(limits["scratch"], threads=limits["threads"], memory=limits["memory"]) as database:
        database.connection.execute("CREATE TABLE occurrences (term VARCHAR, passage BIGINT)")
        with RowWriter(output / PASSAGES_FILE, PASSAGES) as writer:
            for table in batches(documents, ("id", "title", "source", "text", "metadata")):
                found: dict[str, list[Any]] = {"term": [], "passage": []}
                for row in table.to_pylist():
                    held += 1
                    for passage in _passages_of(row, config):
                        words = terms(passage["text"])
                        writer.write({**passage, "passage": count, "terms": len(words)})
                        found["term"] += words
                        found["passage"] += [count] * len(words)
                        count += 1
                with database.registered(pa.table(found, schema=OCCURRENCES)):
                    database.connection.execute("INSERT INTO occurrences SELECT term, passage FROM batch")
        postings = _write_postings(database, output / POSTINGS_FILE)
    return {"documents": float(held), "passages": float(count), "postings": float(postings)}


def _passages_of(row: dict[str, Any], config: IndexConfig) -> Iterator[dict[str, Any]]:
    name = f"{row['source']}/{json.loads(row['metadata']).get('path', row['id'])}"
    for start, end in cut_passages(row["text"], config.passage_characters):
        yield {"id": row["id"], "document": name, "title": row["title"], "start": start, "end": end, "text": row["text"][start:end]}


def _write_postings(database: Database, path: Path) -> int:
    """Write how often each term occurs in each passage, in groups of a fixed number of rows, so that threads change no byte."""
    query = "SELECT term, passage, count(*) AS count FROM occurrences GROUP BY ALL ORDER BY term, passage"
    written, pending = 0, POSTINGS.empty_table()
    with pq.ParquetWriter(path, POSTINGS, compression="zstd") as writer:
        for batch in database.connection.sql(query).to_arrow_reader(GROUP_ROWS):
            pending = pa.concat_tables([pending, pa.Table.from_batches([batch]).cast(POSTINGS)])
            while pending.num_rows >= GROUP_ROWS:
                writer.write_table(pending.slice(0, GROUP_ROWS), row_group_size=GROUP_ROWS)
                written, pending = written + GROUP_ROWS, pending.slice(GROUP_ROWS)
        writer.write_table(pending.combine_chunks(), row_group_size=GROUP_ROWS)
    return written + pending.num_rows
