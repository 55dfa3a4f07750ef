"""Decides which matches in all shards are passages of evaluation sets, from ids, positions and hashes alone.

An n-gram in more than `common` documents is a common phrase and stays, whichever shards hold them. Costs no pass over any text; DuckDB
holds the matches and spills.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from data.decontamination.config import PASSAGES, ContaminationConfig
from data.decontamination.search import MATCHES, SETS, SOUGHT
from data.decontamination.sql import SQL
from data.documents.database import Limits, by_shard, open_database, parquet
from data.documents.slices import write_slices

_SLICES = """WITH passages AS (
    SELECT id, first, last, NULL::VARCHAR AS name, NULL::BIGINT AS item FROM passage
    UNION ALL SELECT id, first, last, name, item FROM contaminated)
SELECT shard AS slice, passages.* FROM passages JOIN place USING (id)"""


def find_contamination(found: Sequence[Path], output: Path, config: ContaminationConfig, **limits: Unpack[Limits]) -> dict[str, float]:
    """Write slices of the passages by shard: id, first and last word (from 1), name and item; without a name: words to cut.

    `found`: the folders that the search of each shard wrote, in order. Return phrases_common (n-grams that are ignored), and for each set
    `items_<set>`, `items_hit_<set>` and `items_short_<set>` (too short to search for).
    """
    with open_database(**limits) as work:
        work.set_variables(common=config.common)
        work.connection.execute(f"CREATE TABLE hit AS {by_shard([folder / MATCHES for folder in found])}")
        work.connection.execute("CREATE TABLE place AS SELECT DISTINCT id, shard FROM hit")
        work.connection.execute(f"CREATE TABLE wanted AS SELECT DISTINCT * FROM {parquet([folder / SOUGHT for folder in found])}")
        work.run_file(SQL / "passages.sql")
        write_slices(work, _SLICES, (output / PASSAGES).parent, config.shards)
        metrics = {"phrases_common": work.number("SELECT count(*) FROM common")}
        for name, items, short in work.rows(f"SELECT name, items, short FROM {parquet([found[0] / SETS])} ORDER BY name"):
            hit = work.number(f"SELECT count(DISTINCT item) FROM contaminated WHERE name = '{name}'")
            metrics |= {f"items_{name}": float(str(items)), f"items_hit_{name}": hit, f"items_short_{name}": float(str(short))}
        return metrics
