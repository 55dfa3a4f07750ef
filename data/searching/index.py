"""Index the passages of documents, and find those that answer a question: by words (BM25), by meaning (vectors), and by both.

passages.parquet holds each passage with its document and place, by document; postings.parquet how often each term occurs in each passage,
by term, so that a question reads the row groups of its own terms. Equal documents give equal bytes. Memory holds a batch of documents;
DuckDB counts, and spills beyond its limit.

BM25 is Lucene's (Robertson et al. 1994, k1 = 1.2, b = 0.75; idf = ln(1 + (N - n + 0.5) / (n + 0.5))), with exact lengths where Lucene
rounds them to a byte, counted in SQL over the Parquet files of an index. Shards of an index count as one, so their number changes no order.
Reciprocal rank fusion adds 1 / (60 + rank) over both lists (Cormack et al. 2009); ties go by document and place.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.documents.database import Database, Limits, by_shard, open_database
from data.documents.rows import RowWriter
from data.documents.stream import batches
from data.searching.passages import PASSAGES_FILE, POSTINGS_FILE, VECTORS_FILE, IndexConfig, cut_passages, supported, terms

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


K1, B = 1.2, 0.75
FUSION = 60
DEPTH = 100  # passages of each list that are fused; later ones could add no more than a rounding to a score

Embed = Callable[[str], Sequence[float]]


@dataclass(frozen=True)
class Hit:
    """A passage that was found. `start`, `end`: its place in the document's text as cleaning left it; `score`: of the way it was found."""

    id: str
    document: str
    title: str
    start: int
    end: int
    text: str
    score: float


SCORED = f"""
WITH found AS (
    SELECT shard, passage, term, count, times FROM postings JOIN asked USING (term) SEMI JOIN passages USING (shard, passage)
), size AS (
    SELECT count(*) AS passages, avg(terms) AS mean FROM passages
), rarity AS (
    SELECT term, ln(1 + (any_value(passages) - count(*) + 0.5) / (count(*) + 0.5)) AS idf FROM found, size GROUP BY term
)
SELECT shard, passage, list_sum(list(times * idf * count / (count + {K1} * (1 - {B} + {B} * terms / mean)) ORDER BY term)) AS score
FROM found JOIN rarity USING (term) JOIN passages USING (shard, passage), size
GROUP BY shard, passage, id, start ORDER BY score DESC, id, start LIMIT $most
"""
HOLDING = """
SELECT term, count(*) AS holding FROM postings JOIN asked USING (term) SEMI JOIN passages USING (shard, passage) GROUP BY term
"""


class PassageIndex:
    """An index that is open. `vectors`: of the passages in order, if there are any, by what `embed` makes of a question."""

    def __init__(self, database: Database, without: Sequence[str], vectors: np.ndarray[Any, Any] | None, embed: Embed | None) -> None:
        self._database, self._vectors, self._embed = database, vectors, embed
        rows = self._query("SELECT shard, passage, id FROM stored ORDER BY shard, passage")
        self._keys = [(row["shard"], row["passage"]) for row in rows]
        self._left_out = np.array([row["id"] in set(without) for row in rows], dtype=np.bool_)

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def by_meaning(self) -> bool:
        """Whether questions are compared by vectors, too."""
        return self._vectors is not None and self._embed is not None

    def search(self, question: str, most: int) -> list[Hit]:
        """Return at most `most` passages, best first: fused of words and meaning, or by words alone where there are no vectors."""
        if not self.by_meaning:
            return self.by_words(question, most)
        lists = [{(hit.id, hit.start): hit for hit in found(question, DEPTH)} for found in (self.by_words, self.by_vectors)]
        known = lists[0] | lists[1]
        return [replace(known[key], score=score) for key, score in fused([list(found) for found in lists])[:most]]

    def by_words(self, question: str, most: int) -> list[Hit]:
        """Return at most `most` passages that share a term with a question, by BM25."""
        asked = Counter(terms(question))
        if not asked:
            return []
        table = pa.table({"term": list(asked), "times": pa.array(asked.values(), pa.int64())})
        scored = self._query(SCORED, {"most": most}, asked=table)
        return self._hits([((row["shard"], row["passage"]), row["score"]) for row in scored])

    def by_vectors(self, question: str, most: int) -> list[Hit]:
        """Return at most `most` passages, the nearest by the cosine of their vectors with the question's; none without vectors."""
        if self._vectors is None or self._embed is None or not len(self):
            return []
        cosines = self._vectors @ np.asarray(self._embed(question), dtype=np.float32)
        cosines[self._left_out] = -np.inf
        nearest = [at for at in np.argsort(-cosines, kind="stable")[:most] if np.isfinite(cosines[at])]
        return self._hits([(self._keys[at], float(cosines[at])) for at in nearest])

    def supports(self, statement: str, question: str, passage: str) -> bool:
        """Return whether a passage has the words of a statement that answers a question; rare words count more."""
        said = dict.fromkeys(terms(statement))
        table = pa.table({"term": pa.array(said, pa.string())})
        holding = {row["term"]: row["holding"] for row in self._query(HOLDING, asked=table)}
        return supported(statement, question, passage, lambda term: rarity(holding.get(term, 0), len(self)))

    def _hits(self, scored: Sequence[tuple[tuple[int, int], float]]) -> list[Hit]:
        """Return passages, given with their scores, in order."""
        if not scored:
            return []
        wanted = pa.table({"shard": [key[0] for key, _ in scored], "passage": [key[1] for key, _ in scored]})
        rows = self._query("SELECT passages.* FROM passages JOIN asked USING (shard, passage) ORDER BY shard, passage", asked=wanted)
        known = {(row["shard"], row["passage"]): row for row in rows}
        fields = ("id", "document", "title", "start", "end", "text")
        return [Hit(**{name: known[key][name] for name in fields}, score=score) for key, score in scored]

    def _query(self, query: str, given: dict[str, Any] | None = None, **tables: pa.Table) -> list[dict[str, Any]]:
        # A cursor of its own, since several threads of a server may ask at once.
        with self._database.connection.cursor() as cursor:
            for name, table in tables.items():
                cursor.register(name, table)
            rows: list[dict[str, Any]] = cursor.sql(query, params=given or {}).to_arrow_table().to_pylist()
            return rows


@contextmanager
def open_index(
    folders: Sequence[Path],
    *,
    vectors: Sequence[Path] = (),
    embed: Embed | None = None,
    without: Sequence[str] = (),
    **limits: Unpack[Limits],
) -> Iterator[PassageIndex]:
    """Open the index whose shards are in `folders`. `vectors`: the folders of theirs, in order; `without`: ids of documents that are gone.

    Raise ValueError for vectors that are not of these passages, one each.
    """
    with open_database(limits["scratch"], threads=limits["threads"], memory=limits["memory"]) as database:
        for name, file in (("stored", PASSAGES_FILE), ("postings", POSTINGS_FILE)):
            database.connection.execute(f"CREATE VIEW {name} AS {by_shard([folder / file for folder in folders])}")
        gone = ", ".join(f"'{one}'" for one in sorted({"", *without}))
        database.connection.execute(f"CREATE VIEW passages AS SELECT * FROM stored WHERE id NOT IN ({gone})")
        parts = [part for folder in vectors if len(part := np.load(folder / VECTORS_FILE))]
        stored = np.concatenate(parts) if parts else None
        index = PassageIndex(database, without, stored, embed)
        if stored is not None and len(stored) != len(index):
            raise ValueError(f"{len(stored)} vectors for {len(index)} passages; run the recipe again, which makes both")
        yield index


def rarity(holding: int, passages: int) -> float:
    """Return Lucene's idf of a term that so many of the passages have."""
    return math.log(1 + (passages - holding + 0.5) / (holding + 0.5))


def fused(lists: Sequence[Sequence[tuple[str, int]]]) -> list[tuple[tuple[str, int], float]]:
    """Return (document, place) with the score of reciprocal rank fusion, best first."""
    scores: defaultdict[tuple[str, int], float] = defaultdict(float)
    for found in lists:
        for rank, key in enumerate(found, start=1):
            scores[key] += 1 / (FUSION + rank)
    return sorted(scores.items(), key=lambda scored: (-scored[1], scored[0]))
