"""Train, validation and test by whole clusters of near-duplicates, stable when books are added.

Clusters are ordered by a hash of seed and name. Test takes from the front of that order, validation from the back, train the
middle: so a new book moves at most those at the two boundaries, and none from test to validation or back. Shares are exact
to one document where clusters are single documents. Holds ids in memory, and texts a few megabytes at a time.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

import pyarrow.parquet as pq

from data.documents.stream import DocumentWriter, batches
from data.splits.config import SplitConfig

SPLITS = ("train", "val", "test")


def split(documents: Path, clusters: Path, output: Path, config: SplitConfig) -> dict[str, float]:
    """Writes `train.parquet`, `val.parquet` and `test.parquet` into `output`; returns documents, characters and clusters of each.

    `clusters` holds (id, cluster) as dedup writes it. With `mode: all_train` all three hold every document, and the metric
    `shared` is 1: validation then measures memory, not learning. Raises ValueError for a document without a cluster, for no
    documents at all, and if fewer than three clusters are to be split.
    """
    table = pq.read_table(clusters, columns=["id", "cluster"])
    cluster_of = {str(name): str(cluster) for name, cluster in zip(table["id"].to_pylist(), table["cluster"].to_pylist(), strict=True)}
    ids: list[str] = [str(value) for batch in batches(documents, ("id",)) for value in batch["id"].to_pylist()]
    if not ids:
        raise ValueError(f"{documents.name} holds no documents; nothing is left to split after cleaning and deduplication")
    lost = [name for name in ids if name not in cluster_of]
    if lost:
        raise ValueError(
            f"document {lost[0]} is in {documents.name} but in no cluster of {clusters.name} ({len(lost)} such); "
            "both must come from one dedup"
        )
    places = {name: set(SPLITS) for name in ids}
    if config.mode == "books":
        members: defaultdict[str, list[str]] = defaultdict(list)
        for name in ids:
            members[cluster_of[name]].append(name)
        assigned = assign({cluster: len(names) for cluster, names in members.items()}, config)
        places = {name: {assigned[cluster_of[name]]} for name in ids}
    metrics = _write(documents, output, places)
    for part in SPLITS:
        metrics[f"clusters_{part}"] = float(len({cluster_of[name] for name in ids if part in places[name]}))
    return {**metrics, "shared": float(config.mode == "all_train")}


def assign(sizes: dict[str, int], config: SplitConfig) -> dict[str, str]:
    """The split of every cluster, given its number of documents. Depends on names, sizes, shares and seed only."""
    held_out = [part for part, share in (("val", config.val), ("test", config.test)) if share]
    if len(sizes) < 3 and held_out:
        raise ValueError(
            f"split.mode 'books' needs at least 3 different books and found {len(sizes)}; add books, or set split.mode: all_train "
            "(validation and test are then copies of train)"
        )
    order = sorted(sizes, key=lambda cluster: hashlib.sha256(f"{config.seed}:{cluster}".encode()).digest())
    total = sum(sizes.values())
    places = dict.fromkeys(order, "train")
    for part, share, sequence in (("test", config.test, order), ("val", config.val, order[::-1])):
        if share:
            free = [cluster for cluster in sequence if places[cluster] == "train"]
            for cluster in _take(free, sizes, max(1, int(total * share + 0.5))):
                places[cluster] = part
    return places


def _take(free: list[str], sizes: dict[str, int], target: int) -> list[str]:
    """Clusters from the front that fit into `target` documents; one at least, and never the last two that are free."""
    taken: list[str] = []
    room = target
    for cluster in free:
        if sizes[cluster] <= room and len(taken) < len(free) - 2:
            taken.append(cluster)
            room -= sizes[cluster]
        if not room:
            break
    return taken or [min(free, key=lambda cluster: (sizes[cluster], free.index(cluster)))]


def _write(documents: Path, output: Path, places: dict[str, set[str]]) -> dict[str, float]:
    output.mkdir(parents=True, exist_ok=True)
    counts = dict.fromkeys((f"{kind}_{part}" for kind in ("documents", "characters") for part in SPLITS), 0.0)
    with ExitStack() as stack:
        writers = {part: stack.enter_context(DocumentWriter(output / f"{part}.parquet")) for part in SPLITS}
        for batch in batches(documents):
            for row in batch.to_pylist():
                for part in SPLITS:
                    if part in places[row["id"]]:
                        writers[part].write(row)
                        counts[f"documents_{part}"] += 1
                        counts[f"characters_{part}"] += len(row["text"])
    return counts
