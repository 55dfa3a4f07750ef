"""Where each document goes: a function of the seed and of its cluster's name.

A cluster is named by the smallest id among its documents that are still there and that a person wrote, and a hash of seed and name gives
it a number between 0 and 1 (sha256, its first 52 bits). Test takes from the low end, validation from the high end, train has the middle.

`fractions`: test is what lies below its share, validation what lies at 1 minus its share or above. No other document has a say, so a new
book moves nobody else, and shares are met as closely as chance allows (100 books and a share of 0.05: mostly 2 to 8 books). A part that is
to have something and got nothing is given a stand-in: the cluster whose number is nearest to its own range, from a part that has more than
one; first test, then validation, then train. Only stand-ins move when a better book comes, and only a handful of books ever needs one.

`counts`: test takes whole clusters from the low end until it has its number of documents, validation from the high end; a cluster of
several documents may overshoot by all but one of them. A new book moves at most one cluster at each of the two boundaries.

With `stratify: source` each source is divided by itself: it has stand-ins of its own if it has enough clusters, and its own number of
documents, in proportion to its size (Webster/Sainte-Lague). A new book then moves at most one cluster at each boundary of its own source,
and of one more, from which a seat may pass to it. A cluster of several sources counts for that of the document which names it.

What can move though nobody asked: the documents of a cluster that a new one joins, when that one's id is smaller, or when it makes two
clusters one. Where deduplication keeps one document a cluster, as it does by default, neither happens to a document that stays.

Synthetic documents have no say in any of this. Those in a cluster that is held out are dropped (`synthetic copy`), since they would leak
it; the others go to train in the order of a hash of their own as long as they fit under the cap, the rest is dropped (`synthetic cap`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data.documents.database import Database, parquet
from data.splits.config import SplitConfig
from data.splits.seats import seats

_SQL = Path(__file__).parent
_STRATA = "SELECT stratum, sum(documents)::BIGINT FROM family WHERE documents > 0 AND place = 'train' GROUP BY ALL ORDER BY ALL"
_CLUSTERS = "SELECT count(*) FROM family WHERE documents > 0"
# Strata with as many clusters as parts that left a part empty.
_LACKING = """SELECT stratum FROM (SELECT {stratum} AS stratum, place FROM family WHERE documents > 0)
    GROUP BY stratum HAVING count(*) >= {parts} AND count(DISTINCT place) < {parts} ORDER BY stratum"""


def place_documents(work: Database, documents: Sequence[Path], clusters: Path, config: SplitConfig) -> None:
    """Makes the table `verdict` (id, cluster, characters, synthetic, place, rule, detail); a document without a place is removed by `rule`.

    Raises ValueError for no documents, for one without a cluster, for fewer clusters than parts, and for counts that leave nothing to train
    on; each with the way out.
    """
    work.set_variables(seed=config.seed, mode=config.mode, stratify=config.stratify, test=config.test, val=config.val)
    work.connection.execute(f"CREATE TEMP VIEW given AS SELECT * FROM {parquet(documents)}")
    work.connection.execute(f"CREATE TEMP VIEW membership AS SELECT id, cluster FROM {parquet([clusters])}")
    work.run_file(_SQL / "families.sql")
    _require_documents(work, documents[0], clusters)
    held_out = config.held_out
    found = int(work.number(_CLUSTERS))
    if held_out and found <= len(held_out):
        raise ValueError(
            f"split.mode {config.mode!r} needs at least {len(held_out) + 1} different books and found {found}; add books, or set "
            "split.mode: all_train (validation and test are then copies of train)"
        )
    if config.mode == "counts":
        _count(work, {part: int(wanted) for part, wanted in held_out.items()})
    elif held_out:
        _stand_in(work, [*held_out, "train"], config.stratify == "source")
    work.set_variables(synthetic_ratio=config.synthetic_share / (1 - config.synthetic_share))
    work.run_file(_SQL / "verdict.sql")


def _require_documents(work: Database, documents: Path, clusters: Path) -> None:
    if not work.number("SELECT count(*) FROM piece WHERE NOT synthetic"):
        raise ValueError(
            f"{documents.name} holds no documents that a person wrote; nothing is left to split after cleaning and deduplication"
        )
    lost = work.number("SELECT count(*) FROM piece WHERE cluster IS NULL")
    if lost:
        first = work.rows("SELECT min(id) FROM piece WHERE cluster IS NULL")[0][0]
        raise ValueError(
            f"document {first} is in {documents.name} but in no cluster of {clusters.name} ({lost:.0f} such); both must come from one dedup"
        )


def _count(work: Database, wanted: dict[str, int]) -> None:
    """Takes documents by number, from each stratum its seats."""
    for part, number in wanted.items():
        strata: dict[str, int] = {str(name): int(str(size)) for name, size in work.rows(_STRATA)}
        if number >= sum(strata.values()):
            raise ValueError(
                f"split.{part}_documents={number}, and {sum(strata.values())} documents are there to take from; that leaves nothing to "
                "train on: ask for fewer, or add books"
            )
        for stratum, due in seats(strata, number).items():
            work.set_variables(part=part, stratum=stratum, wanted=due)
            work.run_file(_SQL / "take.sql")
    if not work.number("SELECT count(*) FROM family WHERE documents > 0 AND place = 'train'"):
        raise ValueError(f"split.mode 'counts' leaves no cluster to train on with {wanted}; ask for fewer documents, or add books")


def _stand_in(work: Database, parts: list[str], by_source: bool) -> None:
    """Gives every part that is to have something a cluster at least: in each source that has enough, then in the whole corpus."""
    for stratum in ("stratum", "''") if by_source else ("''",):
        for (name,) in work.rows(_LACKING.format(stratum=stratum, parts=len(parts))):
            work.set_variables(stratum=str(name), everywhere=stratum == "''")
            for part in parts:
                work.set_variables(part=part)
                work.run_file(_SQL / "stand_in.sql")
