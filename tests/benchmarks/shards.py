"""What reading files of records costs in many shards, over one: `python -m tests.benchmarks.shards [megabytes] [shards]`.

A compressed file of JSON lines and a compressed tar of texts are read once in one shard and once in many, as the stages unpack and ingest
do, one after the other in one process. Prints the processor time of both, and their ratio, which is held against LIMIT: each further shard
has its own tables to write, but no file to open.
"""

from __future__ import annotations

import gzip
import io
import json
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from data.documents.sharding import SLICE
from data.sources.config import FilesSource, IngestConfig
from data.sources.files import groups_at_work
from data.sources.ingest import IngestInputs, ingest
from data.sources.reading import unpack
from data.sources.sharing import GROUPS

LIMIT = 4.0
TEXT = "The lighthouse on the western cape was lit for the first time in the autumn of that year, and nobody knew why. "


@dataclass(frozen=True)
class Part:
    """Shard or group `number` of `count`."""

    number: int
    count: int


def write_files(folder: Path, megabytes: int) -> None:
    """Write half of the megabytes as records, half as members of an archive, of some two kilobytes each."""
    texts = [f"Text {number}. " + "".join(f"{number * k}: {TEXT}" for k in range(18)) for number in range(megabytes * 500)]
    half = len(texts) // 2
    (folder / "records.jsonl.gz").write_bytes(gzip.compress("".join(json.dumps({"text": text}) + "\n" for text in texts[:half]).encode()))
    with tarfile.open(folder / "texts.tar.gz", "w:gz") as archive:
        for number, text in enumerate(texts[half:]):
            member = tarfile.TarInfo(f"{number}.txt")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))


def seconds(folder: Path, output: Path, shards: int) -> float:
    """Processor time of reading everything in this many shards."""
    config = IngestConfig(sources=(FilesSource(name="shelf", paths=(".",)),), shards=shards)
    began, unpacked = time.process_time(), list[Path]()
    for number in groups_at_work(config, folder):
        unpacked.append(output / f"unpacked-{number}")
        unpack(config, unpacked[-1], folder, folder, Part(number, GROUPS), threads=1, memory="1GB", scratch=output / "scratch")
    for number in range(shards):
        around = IngestInputs(folder, folder, unpacked=[one / SLICE.format(number) for one in unpacked])
        ingest(config, output / str(number), around, Part(number, shards), threads=1, memory="1GB", scratch=output / "scratch")
    return time.process_time() - began


def main(megabytes: str = "20", shards: str = "64") -> None:
    """Measure and print. Exits with 1 above the limit."""
    with tempfile.TemporaryDirectory() as place:
        (folder := Path(place, "shelf")).mkdir()
        write_files(folder, int(megabytes))
        one, many = (seconds(folder, Path(place, f"in-{count}"), count) for count in (1, int(shards)))
    print(f"{megabytes} MB in 1 shard: {one:.1f} s of processor time; in {shards}: {many:.1f} s; ratio {many / one:.2f} (limit {LIMIT})")
    if many > LIMIT * one:
        raise SystemExit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
