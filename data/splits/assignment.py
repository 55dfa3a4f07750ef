"""Assigns each document to a split: a function of the seed and of the name of its cluster.

A cluster is named after the smallest id among its documents that still exist and that a person wrote. A hash of seed and name gives it a
number between 0 and 1 (the first 52 bits of a sha256). Test takes clusters from the low end, validation from the high end, and train has
the middle.

`fractions`: test takes the clusters whose number is below its share, validation those at 1 minus its share or above. No other document
influences this, so a new book moves no other, and shares are met as closely as chance allows (100 books and a share of 0.05: mostly 2 to 8
books). A split that should have documents and got none is given a stand-in: the cluster whose number is nearest to its range, from a split
that has more than one; first test, then validation, then train. Only a stand-in is replaced when a better book arrives, and only a corpus
of a handful of books needs one.

`counts`: test takes whole clusters from the low end until it has its number of documents, validation from the high end; a cluster of
several documents may overshoot by all but one of them. A new book moves at most one cluster at each of the two boundaries.

A cluster is never divided, in whichever mode: one that is larger than a held-out split should be makes that split as large. Dividing it
would train on near-duplicates of what is held out, and placing it by its size would move it whenever a document joins it. So the split
says so: `large_clusters.json` names each such cluster, with what was asked for and what the split has, and the ledger its documents.

With `stratify: source` each source is split by itself: it has its own stand-ins if it has enough clusters, and its own number of documents,
in proportion to its size (Webster/Sainte-Lague). A new book then moves at most one cluster at each boundary of its own source, and of one
other source, which may lose a seat to it. A cluster with several sources belongs to the source of the document that names it.

Two things can still move a document: a new one joins its cluster with a smaller id, or merges two clusters. When deduplication keeps
one document of each cluster, as it does by default, neither happens to a document that stays.

`passages`: every document goes to train, and those that are long enough and like no other give their last passages to validation and test.

Synthetic documents influence none of this. Those in a held-out cluster are dropped (`synthetic copy`), since they would leak it; the others
go to train in the order of their own hash as long as they fit under the cap, and the rest is dropped (`synthetic cap`).

Cuts a document in two or three: what is trained on, and at its end the passages for validation and test.

A cut falls between paragraphs where one ends nearby, else between lines, else between words. The parts, end to end, are the document.

Splits the documents of a shard into train, validation and test.

`assignment` decides where each document of all shards goes; this module writes the files of one. Synthetic documents are never held out:
they go to train, up to `synthetic_share`, or nowhere. Every removed document is in the ledger, and word for word in `removed/`.

Costs one pass over the texts and one over their lengths. Memory holds a few megabytes of text; DuckDB holds the ids and spills.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any, Unpack

from data.documents.database import Database, Limits, by_shard, open_database, parquet
from data.documents.ledger import RemovalWriter, require_balance
from data.documents.rows import LEDGER, rows, write_rows
from data.documents.slices import write_slices
from data.documents.stream import DocumentWriter, batches, sorted_by_id
from data.shards.names import SPLITS
from data.splits.config import ASSIGNED, LARGE_CLUSTERS, TRAIN_SIZE, DivideConfig, LargeCluster, SplitConfig
from data.splits.sql import SQL


def apportion(sizes: Mapping[str, int], wanted: int) -> dict[str, int]:
    """Return how many of `wanted` seats each group gets, never more than its size; groups that get none are left out.

    The method of Webster and Sainte-Lague: each next seat goes to the group with the largest size / (2 x seats so far + 1), ties by name.
    One more member in a group moves at most one seat, from one other group to it (Balinski and Young, Fair Representation, 1982).
    """
    seats: dict[str, int] = {}
    waiting = [(-Fraction(size), name) for name, size in sizes.items() if size]
    heapq.heapify(waiting)
    for _ in range(min(wanted, sum(sizes.values()))):
        _, name = heapq.heappop(waiting)
        seats[name] = seats.get(name, 0) + 1
        if seats[name] < sizes[name]:
            heapq.heappush(waiting, (-Fraction(sizes[name], 2 * seats[name] + 1), name))
    return seats


MIN_PASSAGE = 1000  # characters; of less, a few words would decide the score
BREAKS = ("\n\n", "\n", " ")


def shortest_cut(config: SplitConfig) -> int:
    """Return the length from which documents are cut, so that no passage is much shorter than `MIN_PASSAGE`; characters."""
    return round(MIN_PASSAGE / min(config.held_out.values()))


def cut(text: str, config: DivideConfig) -> dict[str, str]:
    """Return the parts of a text of at least `shortest_cut` characters by the name of their split, train first."""
    ends = {"train": config.train, "val": config.train + config.val, "test": 1.0}
    parts, begun = {}, 0
    for part in ("train", *(name for name in ("val", "test") if name in config.held_out)):
        end = len(text) if ends[part] > 1 - 1e-6 else _nearest_break(text, round(ends[part] * len(text)))
        parts[part], begun = text[begun:end], end
    return parts


def _nearest_break(text: str, wanted: int) -> int:
    """Return the end of a paragraph, line or word nearest to a position, no further than a quarter of the shortest passage from it."""
    low, high = wanted - MIN_PASSAGE // 4, wanted + MIN_PASSAGE // 4
    for mark in BREAKS:
        found = [text.rfind(mark, low, wanted), text.find(mark, wanted, high)]
        if ends := [position + len(mark) for position in found if position >= 0]:
            return min(ends, key=lambda end: abs(end - wanted))
    return wanted


_CLUSTERS_IN = "SELECT count(DISTINCT cluster) FROM assignment WHERE "
_TRAINED = "characters * CASE WHEN cut THEN getvariable('train') ELSE 1 END"
_WRITERS = ("synthetic", "NOT synthetic")
_STRATA = "SELECT stratum, sum(documents)::BIGINT FROM component WHERE documents > 0 AND split = 'train' GROUP BY ALL ORDER BY ALL"
_CLUSTERS = "SELECT count(*) FROM component WHERE documents > 0"
# Strata that have enough clusters for every split, yet left a split empty.
_LACKING = """SELECT stratum FROM (SELECT {stratum} AS stratum, split FROM component WHERE documents > 0)
    GROUP BY stratum HAVING count(*) >= {splits} AND count(DISTINCT split) < {splits} ORDER BY stratum"""


def assign(sizes: Sequence[Path], clusters: Path, output: Path, config: SplitConfig, **limits: Unpack[Limits]) -> dict[str, float]:
    """Write slices of table `assignment` by shard into `output`, and `large_clusters.json` if there are any; no text is read.

    `sizes`: those of the shards' documents, in order. `clusters` holds (id, cluster) as dedup writes it, and may name documents that later
    stages removed. Return clusters of each split; stand_ins; large_clusters; synthetic_share of the characters of train, where a document
    that is cut counts with its part for training; `shared`, 1 if all three splits hold every document that a person wrote: validation then
    measures memorization, not learning. Raise what `assign_documents` raises."""
    shared = config.mode == "all_train"
    with open_database(**limits) as work:
        assign_documents(work, sizes, clusters, config)
        copied = f"{str(shared).lower()} AND NOT synthetic AND split IS NOT NULL"
        query = f"""SELECT shard AS slice, id, split, rule, detail, characters::BIGINT AS characters, cut, {copied} AS copied
            FROM assignment JOIN (SELECT id, shard FROM documents) USING (id)"""
        write_slices(work, query, (output / ASSIGNED).parent, len(sizes))
        large = rows(work, "SELECT * FROM large_cluster ORDER BY split, documents DESC, cluster")
        named = [LargeCluster.model_validate({**row, "mode": config.mode}).model_dump() for row in large]
        if named:
            (output / LARGE_CLUSTERS).write_text(json.dumps(named, indent=1), encoding="utf-8")
        metrics = {f"clusters_{part}": work.number(_CLUSTERS_IN + _where(part, config)) for part in SPLITS}
        written, human = (work.number(f"SELECT sum({_TRAINED}) FROM assignment WHERE {who} AND split = 'train'") for who in _WRITERS)
        metrics["stand_ins"] = work.number("SELECT count(*) FROM component WHERE stand_in")
        metrics["large_clusters"] = float(len(named))
        metrics["synthetic_share"] = written / (written + human) if written else 0.0
        return metrics | {"shared": float(shared)}


def _where(part: str, config: SplitConfig) -> str:
    """Return the condition of the documents of which a split holds any text."""
    if part in config.held_out and config.mode == "passages":
        return "cut"
    return "split IS NOT NULL AND NOT synthetic" if config.mode == "all_train" and part != "train" else f"split = '{part}'"


def assign_documents(work: Database, sizes: Sequence[Path], clusters: Path, config: SplitConfig) -> None:
    """Create table `assignment` (id, cluster, characters, synthetic, cut, split, rule, detail).

    Without a split, `rule` removes the document; with `cut`, its last passages are held out. Raise ValueError, with the way out, for no
    documents, a document without a cluster, fewer clusters than splits, counts that leave nothing to train on, and no document to cut.
    """
    cut_from = shortest_cut(config) if config.mode == "passages" else 0
    work.set_variables(seed=config.seed, mode=config.mode, stratify=config.stratify, test=config.test, val=config.val)
    sizes_asked = {f"held_out_{part}": config.held_out.get(part, 0.0) for part in ("test", "val")}
    work.set_variables(train=config.train, cut_from=cut_from, **sizes_asked)
    work.connection.execute(f"CREATE TEMP VIEW documents AS {by_shard(sizes)}")
    work.connection.execute(f"CREATE TEMP VIEW membership AS SELECT id, cluster FROM {parquet([clusters])}")
    work.run_file(SQL / "clusters.sql")
    _require_documents(work, clusters)
    held_out = {} if cut_from else config.held_out
    count = int(work.number(_CLUSTERS))
    if held_out and count <= len(held_out):
        raise ValueError(
            f"split.mode {config.mode!r} needs at least {len(held_out) + 1} different books and found {count}; add books, or set "
            "split.mode: all_train (validation and test are then copies of train)"
        )
    if config.mode == "counts":
        _take_counts(work, {split: int(wanted) for split, wanted in held_out.items()})
    elif held_out:
        _fill_empty_splits(work, [*held_out, "train"], config.stratify == "source")
    work.run_file(SQL / "large_clusters.sql")
    work.set_variables(synthetic_ratio=config.synthetic_share / (1 - config.synthetic_share))
    work.run_file(SQL / "assignment.sql")
    if cut_from and not work.number("SELECT count(*) FROM assignment WHERE cut"):
        raise ValueError(
            f"split.mode 'passages' cuts documents of at least {cut_from:,} characters that are like no other, and found none; set "
            "split.mode: fractions to hold out whole documents, or all_train (validation and test are then copies of train)"
        )


def _require_documents(work: Database, clusters: Path) -> None:
    if not work.number("SELECT count(*) FROM document WHERE NOT synthetic"):
        raise ValueError("no document that a person wrote is left to split; look at what cleaning and deduplication removed")
    lost = work.number("SELECT count(*) FROM document WHERE cluster IS NULL")
    if lost:
        first = work.rows("SELECT min(id) FROM document WHERE cluster IS NULL")[0][0]
        raise ValueError(
            f"document {first} is in no cluster of {clusters.name} ({lost:.0f} such); documents and clusters must come from one dedup"
        )


def _take_counts(work: Database, wanted: dict[str, int]) -> None:
    """Take the wanted number of documents for each held-out split, from each stratum its share."""
    for split, number in wanted.items():
        strata: dict[str, int] = {str(name): int(str(size)) for name, size in work.rows(_STRATA)}
        if number >= sum(strata.values()):
            raise ValueError(
                f"split.{split}_documents={number}, but only {sum(strata.values())} documents are available, so nothing would be left to "
                "train on; ask for fewer, or add books"
            )
        for stratum, seats in apportion(strata, number).items():
            work.set_variables(part=split, stratum=stratum, wanted=seats)
            work.run_file(SQL / "take_clusters.sql")
    if not work.number("SELECT count(*) FROM component WHERE documents > 0 AND split = 'train'"):
        raise ValueError(f"split.mode 'counts' leaves no cluster to train on with {wanted}; ask for fewer documents, or add books")


def _fill_empty_splits(work: Database, splits: list[str], by_source: bool) -> None:
    """Give every empty split a stand-in: in each source with enough clusters, then in the whole corpus."""
    for stratum in ("stratum", "''") if by_source else ("''",):
        for (name,) in work.rows(_LACKING.format(stratum=stratum, splits=len(splits))):
            work.set_variables(stratum=str(name), everywhere=stratum == "''")
            for split in splits:
                work.set_variables(part=split)
                work.run_file(SQL / "fill_empty_split.sql")


_LEDGER = SQL / "ledger.sql"


def split(documents: Path, assigned: Path, output: Path, config: DivideConfig, **limits: Unpack[Limits]) -> dict[str, float]:
    """Write `train.parquet`, `val.parquet`, `test.parquet`, `train_size.json`, `ledger.parquet` and `removed/` of a shard into `output`.

    `assigned`: the shard's slice of the assignment. A document that is copied is in all three splits; one that is cut has a row in each,
    with its part of the text. Return documents and characters of each split; bytes_train, synthetic_documents, synthetic_characters,
    synthetic_dropped. Raise ValueError if documents and assignment aren't those of one shard, and Unbalanced if a character isn't accounted
    for.
    """
    output.mkdir(parents=True, exist_ok=True)
    with open_database(**limits) as work:
        (source,) = sorted_by_id(work, [documents])
        work.connection.execute(f"CREATE VIEW assigned AS FROM {parquet([assigned])}")
        metrics = _write(work, source, output, config)
        (output / TRAIN_SIZE).write_text(json.dumps({"bytes": int(metrics["bytes_train"])}), encoding="utf-8")
        write_rows(output / "ledger.parquet", LEDGER, rows(work, _LEDGER.read_text("utf-8")))
        # Val and test that are copies of train don't count: only what train holds was kept.
        copied = work.number("SELECT count(*) FROM assigned WHERE copied")
        stayed = [output / f"{part}.parquet" for part in (SPLITS[:1] if copied else SPLITS)]
        require_balance(work, "split", [documents], stayed, output / "ledger.parquet")
    return metrics


def _write(work: Database, documents: Path, output: Path, config: DivideConfig) -> dict[str, float]:
    """Write the three splits and the removed documents, joining documents and assignments, both ordered by id."""
    counts = dict.fromkeys((f"{kind}_{part}" for kind in ("documents", "characters") for part in SPLITS), 0.0)
    counts |= dict.fromkeys(("bytes_train", "synthetic_documents", "synthetic_characters", "synthetic_dropped"), 0.0)
    assignments = rows(work, "SELECT id, split, rule, cut, copied FROM assigned ORDER BY id")
    with ExitStack() as stack:
        writers = {part: stack.enter_context(DocumentWriter(output / f"{part}.parquet")) for part in SPLITS}
        removed = stack.enter_context(RemovalWriter(output))
        for row in (row for batch in batches(documents) for row in batch.to_pylist()):
            size, assigned = len(row["text"]), next(assignments, None)
            if assigned is None or assigned["id"] != row["id"]:
                raise ValueError(f"document {row['id']} of {documents.name} is not the next one assigned; both must be of one shard")
            if assigned["split"] is None:
                removed.write(str(assigned["rule"]), row["id"], 0, row["text"])
                counts["synthetic_dropped"] += 1
                continue
            if row["synthetic"]:
                counts["synthetic_documents"] += 1
                counts["synthetic_characters"] += size
            for name, text in _parts(row["text"], assigned, config).items():
                writers[name].write({**row, "text": text})
                counts[f"documents_{name}"] += 1
                counts[f"characters_{name}"] += len(text)
                counts["bytes_train"] += len(text.encode()) if name == "train" else 0
    return counts


def _parts(text: str, assigned: dict[str, Any], config: DivideConfig) -> dict[str, str]:
    """Return what each split holds of a document."""
    if assigned["cut"]:
        return cut(text, config)
    return dict.fromkeys(SPLITS if assigned["copied"] else (str(assigned["split"]),), text)
