"""Deduplication: documents in; documents without copies out, with the pairs and the ledger that explain every removal.

Rules run in this order: repeated pages inside a book (or a badly scanned book would be the longest copy); documents of equal words;
near-duplicate documents; then, in what is left, repeated paragraphs, lines and passages. `config.keep` decides which copy stays; ties go
to the smallest id.

The result depends on neither the order of the documents nor the number of threads or the memory. Every character is accounted for, and
every removed document and passage is kept word for word in `removed/<rule>.parquet`.
Time is linear in the text, which is read several times in batches; tables beyond `memory` spill into `scratch`. Memory is `memory` plus
about 280 MB, of which libraries take 110; nothing in Python grows with the number of documents.

What deduplication writes: the documents that stay, and the tables that say what became of every document.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from data.dedup.clusters import choose_copies, connect_components
from data.dedup.config import DedupConfig
from data.dedup.near import NearDuplicates, sketch_documents
from data.dedup.repeats import LINE, PARAGRAPH, remove_repeated_substrings, remove_repeated_units
from data.dedup.sql import SQL
from data.dedup.texts import Texts
from data.documents import rows
from data.documents.database import Database, by_shard, open_database
from data.documents.ledger import RemovalWriter, require_balance
from data.documents.rows import write_query
from data.documents.sharding import SHARD_DOCUMENTS, SHARD_SIZES, shard_files
from data.documents.stream import COLUMNS, SizedWriter, sorted_by_id

_VERDICTS = """SELECT v.number, v.rule, o.id FROM verdict AS v LEFT JOIN document AS o ON o.number = v.original
               WHERE v.rule IS NOT NULL AND v.number BETWEEN $first AND $last"""


class ResultTable(NamedTuple):
    """A table of the result: the name of its file, its columns, and the query that gives its rows in order."""

    name: str
    schema: pa.Schema
    query: str

    def write(self, work: Database, output: Path) -> None:
        """Write the rows into a folder."""
        write_query(work, self.query, output / f"{self.name}.parquet", self.schema)


CLUSTERS = ResultTable(
    "clusters",
    pa.schema([("id", pa.string()), ("cluster", pa.string())]),
    "SELECT v.id, c.id AS cluster FROM verdict AS v JOIN document AS c ON c.number = v.cluster ORDER BY v.id",
)
PAIRS = ResultTable(
    "pairs",
    pa.schema([pa.field(name, pa.float64() if name == "jaccard" else pa.string()) for name in ("a", "b", "jaccard", "rule")]),
    """SELECT l.id AS a, r.id AS b, jaccard, rule FROM pair
    JOIN document AS l ON l.number = a JOIN document AS r ON r.number = b ORDER BY l.id, r.id""",
)
LEDGER = ResultTable(
    "ledger",
    rows.LEDGER,
    """SELECT id, 'dedup' AS stage, action, rule, count::BIGINT AS count, characters::BIGINT AS characters, net::BIGINT AS net, detail
    FROM ledger ORDER BY id, turn, rule""",
)


def kept(texts: Texts) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number and the columns of each document that stays, and fill table `final`."""
    for batch in texts.batches(COLUMNS):
        verdicts = {number: (rule, original) for number, rule, original in texts.rows(_VERDICTS, batch)}
        final: list[dict[str, str | int]] = []
        for row in batch.to_pylist():
            number = row.pop("number")
            rule, original = verdicts.get(number, ("", ""))
            if not rule and not row["text"].strip():
                rule = "empty"
            final.append({"number": number, "characters": len(row["text"]), "empty": rule == "empty"})
            if rule:
                texts.removed.write(rule, row["id"], 0, row["text"], f"kept {original}" if original else "no text is left")
            else:
                yield number, row
        texts.insert("final", pa.Table.from_pylist(final))


def count_by_rule(work: Database) -> dict[str, float]:
    """Return counts by rule, from `ledger`, the clusters in `verdict`, the pairs in `candidate` and those in `near_pair`."""
    queries = {
        "documents_in": "SELECT count(*) FROM verdict",
        "documents_kept": "SELECT count(*) FROM ledger WHERE action = 'kept'",
        "characters_kept": "SELECT sum(characters) FROM ledger WHERE action = 'kept'",
        "clusters": "SELECT count(DISTINCT cluster) FROM verdict",
        "documents_exact": "SELECT count(*) FROM ledger WHERE rule = 'exact_document'",
        "documents_near": "SELECT count(*) FROM ledger WHERE rule = 'near_document'",
        "documents_empty": "SELECT count(*) FROM ledger WHERE action = 'removed'",
        "pairs_candidate": "SELECT count(*) FROM candidate",
        "pairs_near": "SELECT count(*) FROM near_pair",
        "characters_removed_document": "SELECT sum(net) FROM ledger WHERE action IN ('duplicate', 'removed')",
    }
    for rule in ("page", "paragraph", "line", "substring"):
        queries[f"{rule}s_removed"] = f"SELECT sum(count) FROM ledger WHERE action = 'cut' AND rule = '{rule}'"
        queries[f"characters_removed_{rule}"] = f"SELECT sum(net) FROM ledger WHERE action = 'cut' AND rule = '{rule}'"
    return {name: work.number(query) for name, query in queries.items()}


_SPANS = "SELECT shard, min(number), max(number) FROM shard GROUP BY shard ORDER BY shard"


def write_shards(work: Database, texts: Texts, shards: Sequence[Path], output: Path) -> None:
    """Write the documents and sizes of each shard by id; a shard of which nothing stays has empty files.

    A file is open from the first number of its shard to the last: where ids ascend through the shards, one at a time."""
    ids = by_shard(shards, "id")
    work.connection.execute(f"CREATE TABLE shard AS SELECT number, shard FROM document JOIN ({ids}) USING (id) ORDER BY number")
    spans = {int(str(shard)): (int(str(first)), int(str(last))) for shard, first, last in work.rows(_SPANS)}
    for shard in range(len(shards)):
        if shard not in spans:
            _writer(output, shard).close()
    waiting = sorted((first, shard) for shard, (first, _) in spans.items())
    writers: dict[int, SizedWriter] = {}
    try:
        for number, row in kept(texts):
            while waiting and waiting[0][0] <= number:
                _, shard = waiting.pop(0)
                writers[shard] = _writer(output, shard)
            for shard in [shard for shard in writers if spans[shard][1] < number]:
                writers.pop(shard).close()
            shard = next(iter(writers)) if len(writers) == 1 else _shard(work, number)
            writers[shard].write(row)
    except BaseException:
        for writer in writers.values():
            writer.close(complete=False)
        raise
    for _, shard in waiting:
        writers[shard] = _writer(output, shard)
    for writer in writers.values():
        writer.close()


def _shard(work: Database, number: int) -> int:
    return int(work.number(f"SELECT shard FROM shard WHERE number = {number}"))


def _writer(output: Path, shard: int) -> SizedWriter:
    return SizedWriter(output / SHARD_DOCUMENTS.format(shard), output / SHARD_SIZES.format(shard))


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
