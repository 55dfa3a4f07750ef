"""Writes the documents that stay, to one file for each shard that they came from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data.dedup.results import kept
from data.dedup.texts import Texts
from data.documents.database import Database, by_shard
from data.documents.sharding import SHARD_DOCUMENTS, SHARD_SIZES
from data.documents.sized import SizedWriter

_SPANS = "SELECT shard, min(number), max(number) FROM shard GROUP BY shard ORDER BY shard"


def write_shards(work: Database, texts: Texts, shards: Sequence[Path], output: Path) -> None:
    """Write the documents and sizes of each shard by id; a shard of which nothing stays has empty files.

    A file is open from the first number of its shard to the last: where ids ascend through the shards, one at a time."""
    _number_shards(work, shards)
    spans = {int(str(shard)): (int(str(first)), int(str(last))) for shard, first, last in work.rows(_SPANS)}
    for shard in range(len(shards)):
        if shard not in spans:
            _writer(output, shard).close()
    waiting = sorted((first, shard) for shard, (first, _) in spans.items())
    writers: dict[int, SizedWriter] = {}
    try:
        for number, row in kept(texts):
            while waiting and waiting[0][0] <= number:
                _, shard = waiting.pop(0)
                writers[shard] = _writer(output, shard)
            for shard in [shard for shard in writers if spans[shard][1] < number]:
                writers.pop(shard).close()
            shard = next(iter(writers)) if len(writers) == 1 else _shard(work, number)
            writers[shard].write(row)
    except BaseException:
        for writer in writers.values():
            writer.close(complete=False)
        raise
    for _, shard in waiting:
        writers[shard] = _writer(output, shard)
    for writer in writers.values():
        writer.close()


def _number_shards(work: Database, shards: Sequence[Path]) -> None:
    """Fill table `shard` with the shard of every document, by number."""
    ids = by_shard(shards, "id")
    work.connection.execute(f"CREATE TABLE shard AS SELECT number, shard FROM document JOIN ({ids}) USING (id) ORDER BY number")


def _shard(work: Database, number: int) -> int:
    return int(work.number(f"SELECT shard FROM shard WHERE number = {number}"))


def _writer(output: Path, shard: int) -> SizedWriter:
    return SizedWriter(output / SHARD_DOCUMENTS.format(shard), output / SHARD_SIZES.format(shard))
