"""Decides which copy of a document stays, by the criteria of `keep`, and records why.

A person's writing is preferred to a machine's; then the copies of a cluster are ranked by the criteria in order, and last by the smallest
id. In this order a document stays unless it is a near copy of one that stays: only a direct one, not a copy of a copy, so no text is lost
that no kept document resembles. Table `reason` holds the criterion by which each removed copy lost, with both values.

A round compares every open document with one more of those before it that could be a near copy (`prefixes.sql`), then goes once through
the ranking and decides what it can. Rounds are thus as many as one document has rivals that stay, not as many as documents stay: a chain
of any length takes a few. Python holds some hundred bytes for each open document of one cluster at a time.

`known_words` is the share of all documents that contain a word, averaged over a copy's words and rounded to hundredths: an edition in
modern spelling shares more words with the rest of the corpus than one in old spelling. Only this criterion costs two more passes.

Connected components of the near and exact pairs, by alternating large-star and small-star rounds (Kiveris et al. 2014, "Connected
Components in MapReduce and Beyond").

Each round is one grouping and one join over the edges. The number of rounds grows with the logarithm of a component's length, so a chain
of 100,000 documents costs some twenty rounds, each linear in its edges.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

import pyarrow as pa

from data.dedup.config import DedupConfig
from data.dedup.sql import SQL
from data.dedup.texts import Texts
from data.documents.database import Database
from data.documents.rows import rows

STANDINGS = (SQL / "standings.sql").read_text(encoding="utf-8")
DECISIONS = 10_000  # inserted at once
_DECISION = pa.schema([pa.field(name, pa.float64() if name == "jaccard" else pa.int64()) for name in ("number", "original", "jaccard")])


def connect_components(work: Database) -> None:
    """Fill tables `pair` and `component` (number, cluster) from `exact` and `near_pair`; a cluster is its smallest number.

    Only documents in a pair belong to a component; every other document is a cluster by itself."""
    work.run_file(SQL / "clusters.sql")
    changed = True
    while changed:
        work.run_file(SQL / "stars.sql")
        changed = bool(work.number("SELECT count(*) FROM (SELECT * FROM star EXCEPT SELECT * FROM edge)")) or (
            work.number("SELECT count(*) FROM star") != work.number("SELECT count(*) FROM edge")
        )
        work.connection.execute("DROP TABLE edge; ALTER TABLE star RENAME TO edge")
    work.connection.execute(
        """CREATE TABLE component AS
        SELECT high AS number, low AS cluster FROM edge UNION SELECT low, low FROM edge"""
    )


def choose_copies(work: Database, texts: Texts, config: DedupConfig) -> None:
    """Fill tables `verdict` and `reason` from `document`, `exact` and `component`."""
    if "known_words" in config.keep and work.number("SELECT count(*) FROM component"):
        count_words(work, texts)
        work.run_file(SQL / "document_frequency.sql")
        add_known_shares(work, texts, int(work.number("SELECT count(*) FROM document")))
    rank_copies(work, config)


def count_words(work: Database, texts: Texts) -> None:
    """Fill table `word_count`: for each batch, in how many documents each word occurs."""
    for batch in texts.batches():
        work.run_on_batch(SQL / "count_words.sql", batch)


def add_known_shares(work: Database, texts: Texts, documents: int) -> None:
    """Fill table `known` for the documents in `component` from `document_frequency`. `documents`: how many the corpus has."""
    work.set_variables(documents=documents)
    for batch in texts.batches():
        work.run_on_batch(SQL / "known_share.sql", batch)


def rank_copies(work: Database, config: DedupConfig) -> None:
    """Fill tables `verdict` and `reason` from `document`, `exact`, `component`, `known` and the shingles of what was compared."""
    work.set_variables(keep=" ".join(("human", *config.keep)))
    work.run_file(SQL / "keep.sql")
    work.run_file(SQL / "prefixes.sql")
    while work.number("SELECT count(*) FROM contender WHERE NOT stays"):
        work.run_file(SQL / "rivals.sql")
        work.run_file(SQL / "verify.sql")
        decided = decide(rows(work, STANDINGS))
        while some := list(islice(decided, DECISIONS)):
            with work.registered(pa.Table.from_pylist(some, schema=_DECISION)):
                work.connection.execute("INSERT INTO decision FROM batch")
        work.run_file(SQL / "decide.sql")
    work.run_file(SQL / "decisive.sql")
    work.run_file(SQL / "verdict.sql")


def decide(standings: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the documents whose fate is certain, from the rows of `standings.sql`; without an original they stay.

    A document goes with the first of its better near copies that stays, if none before it is undecided. It stays if all of them went and
    there is none to compare it with. Decisions hold for the rows after them at once."""
    for _, members in groupby(standings, key=itemgetter("cluster")):
        stay: dict[int, bool] = {}
        for number, copies in groupby(members, key=itemgetter("number")):
            decision: dict[str, Any] | None = None
            for copy in copies:
                original = copy["original"]
                decision = {"number": number, "original": None, "jaccard": None} if copy["ready"] else None
                stays = False if original is None else copy["stays"] or stay.get(original)
                if stays is None:
                    decision = None
                elif stays:
                    decision = {"number": number, "original": original, "jaccard": copy["jaccard"]}
                if stays is not False:
                    break
            if decision:
                stay[number] = decision["original"] is None
                yield decision
