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

Pictures and sounds that are alike join clusters at last (`connect_media`), whatever was decided about words.

Each round is one grouping and one join over the edges. The number of rounds grows with the logarithm of a component's length, so a chain
of 100,000 documents costs some twenty rounds, each linear in its edges.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.dedup.config import DedupConfig, MediaRule
from data.dedup.grams import mix64
from data.dedup.sql import SQL
from data.dedup.texts import Texts
from data.documents.database import Database, Limits, open_database, parquet
from data.documents.rows import rows, write_query
from data.shards.pictures import FINGERPRINT_BITS, SOUND

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


LEAST_BANDS = 4  # of 64 bits
_WORDS = [f"word_{number}" for number in range(FINGERPRINT_BITS // 64)]
_DISTANCE = " + ".join(f"bit_count(xor(l.{word}, r.{word}))::INT" for word in _WORDS)


def connect_media(
    documents: Sequence[Path], parts: Sequence[Path], output: Path, rule: MediaRule, **limits: Unpack[Limits]
) -> dict[str, float]:
    """Join the clusters in `output` whose captioned pictures, or sounds, are alike, and add each such pair to its pairs.

    A pair within `rule.distance` has a band of its fingerprint in common, as there are more bands than bits may differ, so each is found;
    in a bucket above `rule.bucket` neighbours alone are compared. Return how many pairs were found, and how many clusters are left."""
    clusters, pairs = output / "clusters.parquet", output / "pairs.parquet"
    with open_database(**limits) as work:
        work.run_file(SQL / "tables.sql")
        work.connection.execute(f"CREATE TABLE entry AS SELECT row_number() OVER (ORDER BY id) - 1 AS number, * FROM {parquet([clusters])}")
        captioned = f"SELECT id FROM {parquet(documents)} WHERE json_extract_string(metadata, '$.format') IN ('picture', 'sound')"
        found = work.table(
            f"""SELECT e.number, any_value(p.fingerprint) AS fingerprint, any_value(p.mode) AS mode
            FROM {parquet(parts)} AS p JOIN entry AS e USING (id) SEMI JOIN ({captioned}) USING (id)
            WHERE p.fingerprint IS NOT NULL GROUP BY e.number ORDER BY e.number"""
        )
        _add_prints(work, found, rule)
        work.connection.execute("CREATE TABLE exact AS SELECT number, number AS head FROM entry")
        work.set_variables(near_bucket=rule.bucket)
        work.run_file(SQL / "candidates.sql")
        work.connection.execute(
            f"""INSERT INTO near_pair SELECT a, b, 1 - ({_DISTANCE}) / {FINGERPRINT_BITS} FROM pending_pair
            JOIN print AS l ON l.number = a JOIN print AS r ON r.number = b
            WHERE l.mode = r.mode AND {_DISTANCE} <= {rule.distance};
            DROP TABLE exact;
            CREATE TABLE exact AS SELECT e.number, h.number AS head FROM entry AS e JOIN entry AS h ON h.id = e.cluster"""
        )
        connect_components(work)
        alike = """SELECT l.id AS a, r.id AS b, jaccard, CASE mode WHEN 'sound' THEN 'sound' ELSE 'picture' END AS rule
            FROM near_pair JOIN entry AS l ON l.number = a JOIN entry AS r ON r.number = b JOIN print AS p ON p.number = a"""
        joined = """SELECT e.id, h.id AS cluster FROM entry AS e LEFT JOIN component AS c USING (number)
            JOIN entry AS h ON h.number = coalesce(c.cluster, e.number) ORDER BY e.id"""
        for path, query in ((pairs, f"SELECT * FROM (FROM {parquet([pairs])} UNION ALL {alike}) ORDER BY a, b, rule"), (clusters, joined)):
            fresh = path.with_suffix(".new")
            write_query(work, query, fresh, pq.read_schema(path))
            fresh.replace(path)
        count = f"SELECT count(DISTINCT cluster) FROM {parquet([clusters])}"
        return {"pairs_media": work.number("SELECT count(*) FROM near_pair"), "clusters": work.number(count)}


def _add_prints(work: Database, found: pa.Table, rule: MediaRule) -> None:
    """Fill tables `print` and `signature` from fingerprints, a bucket for each band of each."""
    numbers = found["number"].to_numpy()
    sounds = np.array([mode == SOUND for mode in found["mode"].to_pylist()], bool)
    prints: list[Any] = found["fingerprint"].to_pylist()
    whole = np.frombuffer(b"".join(prints), np.uint8).reshape(len(numbers), FINGERPRINT_BITS // 8)
    words = {name: column for name, column in zip(_WORDS, whole.view(np.int64).T, strict=True)}
    with work.registered(pa.table({"number": numbers, "mode": np.where(sounds, "sound", "picture"), **words})):
        work.connection.execute("CREATE TABLE print AS FROM batch")
    bits = np.unpackbits(whole, axis=1)
    for band, places in enumerate(np.array_split(np.arange(FINGERPRINT_BITS), max(LEAST_BANDS, rule.distance + 1))):
        packed = np.zeros((len(numbers), 8), np.uint8)
        kept = np.packbits(bits[:, places], axis=1)
        packed[:, : kept.shape[1]] = kept
        buckets = mix64(mix64(packed.view(np.uint64)[:, 0].copy()) + (2 * np.uint64(band) + sounds.astype(np.uint64)))
        with work.registered(pa.table({"number": numbers, "bucket": buckets})):
            work.connection.execute("INSERT INTO signature FROM batch")
