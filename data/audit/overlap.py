"""Finds which held-out n-grams of all shards also occur in the train and validation texts of one shard.

Costs a pass over these texts. Memory holds a few megabytes of them; DuckDB holds the n-grams and spills. Two different n-grams count as one
if their 64-bit hashes collide: about one in 10^9.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from data.audit.config import GramConfig
from data.audit.grams import define_grams, run_on_texts
from data.audit.sql import SQL
from data.documents.database import Limits, open_database, parquet
from data.documents.slices import write_table

SEEN = "seen.parquet"


def overlap(
    train: Path, val: Path, held_out: Sequence[Path], output: Path, config: GramConfig, **limits: Unpack[Limits]
) -> dict[str, float]:
    """Write `seen.parquet` into `output`: part (train or val), gram, and the id of the first document of the shard that has it.

    `held_out`: the n-grams of the held-out texts of every shard. Validation is searched only for those of test.
    Return the number of n-grams found.
    """
    output.mkdir(parents=True, exist_ok=True)
    with open_database(**limits) as work:
        define_grams(work, config)
        work.connection.execute(f"CREATE TABLE held_out AS SELECT DISTINCT part, gram FROM {parquet(held_out)}")
        work.connection.execute("CREATE TABLE seen (part VARCHAR, gram UBIGINT, id VARCHAR)")
        for part, documents in (("train", train), ("val", val)):
            run_on_texts(work, SQL / "seen.sql", part, documents)
        work.connection.execute("CREATE TABLE first_seen AS SELECT part, gram, min(id) AS id FROM seen GROUP BY part, gram")
        write_table(work, "FROM first_seen", output / SEEN)
        return {"ngrams": work.number("SELECT count(*) FROM first_seen")}
