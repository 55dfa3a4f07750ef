"""Corpora with every kind of repetition that deduplication looks for, by seed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data.documents.rows import DOCUMENTS
from data.documents.sharding import ID_BITS, shard_of
from tests.data.dedup.books import edited, prose

Rows = list[dict[str, Any]]
SOURCES = ("first", "second", "third")


def copied_corpus(seed: int, size: int = 40) -> Rows:
    """Return documents by id: new ones, copies of all kinds of earlier ones, a chain of near copies, and documents without words."""
    random = Random(f"copied:{seed}")
    paragraphs = [prose(seed * 1000 + number, 1, 6) for number in range(size)]
    line, passage = prose(seed * 1000 + 900, 1, 1), " ".join(prose(seed * 1000 + 901, 1, 8).split())
    texts = ["", " \n\n ", "— * —\n— * —"]
    # Each resembles the one before, and the last nothing of the first.
    texts += ["\n\n".join(paragraphs[start : start + 10]) for start in range(6)]
    while len(texts) < size:
        earlier, fresh = random.choice(texts), "\n\n".join([*random.sample(paragraphs, 2), prose(random.randrange(10**6), 3)])
        page = " ".join(prose(random.randrange(10**6), 3).split())
        texts.append(
            random.choice(
                [
                    fresh,
                    earlier.upper(),
                    edited(earlier, 0.01, len(texts)),
                    edited(earlier, 0.03, len(texts)) + f"\n\n{line}",
                    f"{fresh}\n{line}\n{fresh[:400]} {passage}",
                    f"{passage} {fresh} {passage}\n\n{line}",
                    f"{fresh}\n\n{page}\n\n{page}\n\n{line}",
                ]
            )
        )
    rows = [
        {
            "id": f"{random.randrange(2**ID_BITS):0{ID_BITS // 4}x}",
            "title": f"Title {number}",
            "source": random.choice(SOURCES),
            "text": text,
            "metadata": json.dumps({"title_mismatch": True} if random.random() < 0.2 else {}),
            "synthetic": random.random() < 0.3,
        }
        for number, text in enumerate(texts)
    ]
    return sorted(rows, key=lambda row: str(row["id"]))


def write_shards(folder: Path, rows: Rows, count: int) -> Sequence[Path]:
    """Write documents.parquet of each shard and return the paths in order."""
    paths = []
    for number in range(count):
        (folder / str(number)).mkdir(parents=True)
        mine = [row for row in rows if shard_of(row["id"], count) == number]
        paths.append(folder / str(number) / "documents.parquet")
        pq.write_table(pa.Table.from_pylist(mine, schema=DOCUMENTS), paths[-1])
    return paths
