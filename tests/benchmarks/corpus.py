"""What making a corpus costs: python -m tests.benchmarks.corpus [--megabytes 50] [--sizes 100,1000,5000] [--partitions 2,8]
    [--chains 250,500,1000,2000,4000,8000] [--work DIR]

**Throughput**, against datatrove: repair of encodings (ftfy), the published filters (Gopher's repetition and quality, C4, FineWeb), exact
and near deduplication of the same documents, in MB of UTF-8 a second of the whole run, one after the other on this machine, with as many
workers, the same thresholds, shingles, bands and rows; then folio with all its rules of cleaning. datatrove is installed once into an
environment of its own below DIR, with spaCy, by which it splits English into words. The start of processes is counted on both sides.

**Size**: peak memory, of the whole and of each stage, and seconds a megabyte, of ingest, all rules of cleaning, filters and deduplication
of piles of `--sizes` megabytes; flat is the claim for both. `--memory` is DuckDB's limit, shared by the shards that are worked on at once;
it fills as a cache does, so a limit that the smallest pile doesn't fill shows growth up to it. Piles are those of `tests.benchmarks.pile`,
written as they are made; each goes when its figure is there, and needs room below DIR for several times its size.

**Partitions**: seconds and peak memory of deduplication alone, with all that is on by default and known words, of the pile of
`--megabytes`, in one task and in `--partitions` partitions with as many tasks at once as there are threads, which share the memory. All
must write the same bytes.

**Chains**: seconds of processor time of deduplication of `--chains` documents, each a near duplicate of its neighbours alone, beside as
many unrelated ones of the same length, and the slope of each on logarithmic axes: 1 is linear.

folio and datatrove need not keep the same documents. datatrove calls equal what is equal to the letter, folio what is equal in its words;
datatrove takes every pair that MinHash proposes, folio those whose true Jaccard similarity is at least 0.7; words are spaCy's there and
stand between white space here; and where paper and published code differ, each follows its own (data/filtering/published.py says where).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.dedup.config import DedupConfig
from data.dedup.dedup import dedup
from data.documents.rows import DOCUMENTS
from tests.benchmarks.memory import PeakMemory
from tests.benchmarks.ours import Order
from tests.benchmarks.pile import Document, Pile
from tests.data.dedup.books import bytes_of
from tests.data.dedup.books import write as write_documents

PEER = ("datatrove[io,processing]==0.10.1", "spacy>=3.8,<4")
SHARDS = 8
SHINGLE, BANDS, ROWS = 5, 14, 8  # FineWeb's
TARGET = 10.0


class Figure(NamedTuple):
    """What a process did."""

    wall: float
    peak: float
    seconds: dict[str, float]
    kept: dict[str, int]
    peaks: dict[str, int]

    def steps(self) -> str:
        """Seconds of each step, what it kept, and its peak where that was measured."""
        held = {name: f", {peak / 1e6:.0f} MB" for name, peak in self.peaks.items()}
        kept = {name: f" ({count:,})" for name, count in self.kept.items()}
        return ", ".join(f"{name} {took:.1f} s{held.get(name, '')}{kept.get(name, '')}" for name, took in self.seconds.items())


def main() -> None:
    """Measure, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--megabytes", type=float, default=50, help="of text for throughput; 0: leave that table out")
    arguments.add_argument(
        "--sizes", default="", help="megabytes of text for memory and linear cost, such as 100,1000,5000; empty: leave out"
    )
    arguments.add_argument("--partitions", default="", help="how many partitions deduplication has, such as 2,8; empty: leave out")
    arguments.add_argument("--only-partitions", action="store_true", help="leave the comparison with datatrove out")
    arguments.add_argument("--chains", default="", help="documents of a chain, such as 250,500,1000; empty: leave out")
    arguments.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments.add_argument("--memory", default="1GB", help="folio's limit")
    arguments.add_argument("--no-filters", dest="filters", action="store_false", help="leave the published filters out on both sides")
    arguments.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()) / "folio-benchmark", help="datatrove and piles live here"
    )
    given = arguments.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    print(f"{given.threads} threads, {platform.machine()}, Python {platform.python_version()}, {versions()}", flush=True)
    if given.partitions:
        partitions(given.work, given.megabytes, [int(count) for count in given.partitions.split(",")], given.threads, given.memory)
    if given.megabytes and not given.only_partitions:
        throughput(given.work, given.megabytes, given.threads, given.memory, given.filters)
    if given.sizes:
        sizes(given.work, [float(size) for size in given.sizes.split(",")], given.threads, given.memory)
    if given.chains:
        chains(given.work, [int(size) for size in given.chains.split(",")], given.threads, given.memory)


def throughput(work: Path, megabytes: float, threads: int, memory: str, filters: bool) -> None:
    """folio and datatrove on one pile, in turns."""
    peer = peer_python(work)
    with folder(work) as place:
        count, size = write_both(place / "jsonl", place / "parquet", megabytes)
        rules = f"repair{', filters' if filters else ''}, exact and near ({SHINGLE}-grams, {BANDS} x {ROWS})"
        print(f"\n{count:,} documents, {size:.1f} MB: {rules}")

        def ours(name: str, full: bool) -> Figure:
            order = Order(str(place / "parquet"), str(place / name), SHARDS, threads, memory, full, filters, False, SHINGLE, BANDS, ROWS)
            return folio(order)

        def row(name: str, figure: Figure) -> float:
            print(f"  {name:28} {size / figure.wall:8.3f} MB/s   {figure.wall:8.1f} s   {figure.steps()}", flush=True)
            return size / figure.wall

        mine = row("folio", ours("same", False))
        command = [str(peer), str(Path(__file__).with_name("peer.py")), str(place / "jsonl"), str(place / "peer")]
        theirs = row("datatrove", measured([*command, *map(str, (SHARDS, threads, "yes" if filters else "no", SHINGLE, BANDS, ROWS))]))
        print(f"  ratio {mine / theirs:.1f}, {'at least' if mine / theirs >= TARGET else 'under'} {TARGET:g}")
        row("folio, all rules of cleaning", ours("full", True))


def sizes(work: Path, wanted: list[float], threads: int, memory: str) -> None:
    """Peak memory and cost by the megabyte."""
    print(f"\ningest, all rules of cleaning, filters, deduplication; {SHARDS} shards, memory {memory}")
    print(f"  {'MB':>8} {'documents':>10} {'peak MB':>8} {'seconds':>9} {'s a MB':>8}   of which")
    for megabytes in wanted:
        with folder(work) as place:
            count, size = write_jsonl(place / "jsonl", megabytes)
            order = Order(str(place / "jsonl"), str(place / "made"), SHARDS, threads, memory, True, True, True, SHINGLE, BANDS, ROWS)
            figure = folio(order)
            costs = f"{figure.wall:9.1f} {figure.wall / size:8.3f}"
            print(f"  {size:8.0f} {count:10,} {figure.peak:8.0f} {costs}   {figure.steps()}", flush=True)


def partitions(work: Path, megabytes: float, counts: list[int], threads: int, memory: str) -> None:
    """Deduplication in one task and by partition. Raises RuntimeError if their bytes differ."""
    with folder(work) as place:
        count, size = write_both(place / "jsonl", place / "parquet", megabytes)
        print(f"\n{count:,} documents, {size:.1f} MB, {SHARDS} shards: deduplication, {threads} at once, memory {memory}")
        written: dict[str, str] = {}
        for number in (1, *counts):
            command = [sys.executable, "-m", "tests.benchmarks.partitioned", str(place / "parquet"), str(place / str(number))]
            figure = measured([*command, str(number), str(threads), memory])
            found = bytes_of(place / str(number) / "out")
            written = written or found
            if found != written:
                raise RuntimeError(f"{number} partitions write other bytes than one task")
            name = f"{number} partitions" if number > 1 else "one task"
            print(f"  {name:16} {figure.wall:8.1f} s   {figure.peak:8.0f} MB   {figure.steps()}", flush=True)


WORDS, STEP = 200, 30  # of a document of a chain, and new ones in the next: similarity 0.73, and 0.53 to the one after it


def chains(work: Path, counts: list[int], threads: int, memory: str) -> None:
    """Processor time of a chain, and of as many documents that share nothing."""
    limits: dict[str, Any] = {"threads": threads, "memory": memory, "scratch": work / "scratch"}
    print(f"\ndeduplication of documents of {WORDS} words, seconds of processor time")
    print(f"  {'documents':>10} {'chain':>8} {'unrelated':>10}   kept of the chain")
    spent: dict[int, list[float]] = {STEP: [], WORDS: []}
    kept: dict[int, float] = {}
    for count in counts:
        for step, seconds in spent.items():
            with folder(work) as place:
                words = Random(0).choices(range(10**9), k=count * step + WORDS)
                texts = {f"{k:06}": " ".join(f"w{word:08x}" for word in words[k * step : k * step + WORDS]) for k in range(count)}
                given, began = write_documents(place, texts), time.process_time()
                found = dedup([given], place / "out", DedupConfig(), **limits)
                seconds.append(time.process_time() - began)
                kept[step] = found["documents_kept"]
        print(f"  {count:10,} {spent[STEP][-1]:8.2f} {spent[WORDS][-1]:10.2f}   {kept[STEP]:,.0f}", flush=True)
    slopes = [np.polyfit(np.log(counts), np.log(seconds), 1)[0] for seconds in spent.values()]
    print(f"  {'slope':>10} {slopes[0]:8.2f} {slopes[1]:10.2f}")


def folio(order: Order) -> Figure:
    """What folio makes of an order, in a process of its own."""
    return measured([sys.executable, "-m", "tests.benchmarks.ours", json.dumps(asdict(order))])


def measured(command: list[str]) -> Figure:
    """Run a command that tells its figures on the last line of what it prints. Raises RuntimeError with its words when it fails."""
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complaints:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=said, stderr=complaints, text=True)
        memory = PeakMemory(process)
        code = memory.wait()
        wall = time.perf_counter() - began
        said.seek(0)
        complaints.seek(0)
        if code:
            raise RuntimeError(f"{' '.join(command[:3])} ended with {code}: {complaints.read()[-3000:]}")
        told: dict[str, Any] = json.loads(said.read().strip().splitlines()[-1])
    return Figure(wall, memory.bytes / 1e6, told["seconds"], told["kept"], told.get("peaks", {}))


def write_both(lines: Path, tables: Path, megabytes: float) -> tuple[int, float]:
    """A pile as JSONL and as documents, the same ones in the same shards; how many, and MB of UTF-8."""
    tables.mkdir(parents=True)
    lines.mkdir(parents=True)
    documents = list(Pile().documents(megabytes))
    share = -(-len(documents) // SHARDS)
    for number in range(SHARDS):
        part = documents[number * share : (number + 1) * share]
        with (lines / f"{number:05}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(_line(document) for document in part)
        rows = [{"id": i, "title": "", "source": "pile", "text": text, "metadata": "{}", "synthetic": False} for i, text in part]
        pq.write_table(pa.Table.from_pylist(rows, schema=DOCUMENTS), tables / f"{number}.parquet", compression="zstd", row_group_size=512)
    return len(documents), sum(len(text.encode()) for _, text in documents) / 1e6


def write_jsonl(lines: Path, megabytes: float) -> tuple[int, float]:
    """A pile as JSONL files, written as it is made; how many documents, and MB of UTF-8."""
    lines.mkdir(parents=True)
    count, size = 0, 0
    with ExitStack() as stack:
        names = (lines / f"{number:05}.jsonl" for number in range(SHARDS))
        files = [stack.enter_context(name.open("w", encoding="utf-8")) for name in names]
        for document in Pile().documents(megabytes):
            files[count % SHARDS].write(_line(document))
            count, size = count + 1, size + len(document[1].encode())
    return count, size / 1e6


def _line(document: Document) -> str:
    return json.dumps({"id": document[0], "text": document[1]}) + "\n"


def peer_python(work: Path) -> Path:
    """The Python of an environment that has datatrove, made once."""
    home = work / "datatrove"
    python = home / "bin" / "python"
    done = home / "installed.txt"
    if not done.is_file() or done.read_text() != "\n".join(PEER):
        print(f"installing {', '.join(PEER)} into {home}", flush=True)
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PEER], check=True)
        done.write_text("\n".join(PEER))
    return python


def versions() -> str:
    """Of what does the work."""
    return ", ".join([*(f"{name} {version(name)}" for name in ("duckdb", "pyarrow", "ftfy")), f"against {PEER[0]}"])


@contextmanager
def folder(work: Path) -> Iterator[Path]:
    """A folder that goes, however the block ends."""
    place = Path(tempfile.mkdtemp(prefix="pile-", dir=work))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
