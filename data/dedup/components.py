"""Connected components of the near and exact pairs, by alternating large-star and small-star rounds (Kiveris et al. 2014, "Connected
Components in MapReduce and Beyond").

Each round is one grouping and one join over the edges. The number of rounds grows with the logarithm of a component's length, so a chain
of 100,000 documents costs some twenty rounds, each linear in its edges.
"""

from __future__ import annotations

from data.dedup.sql import SQL
from data.documents.database import Database


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
