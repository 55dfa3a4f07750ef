"""Deduplication by partition in a process of its own: python -m tests.benchmarks.partitioned SHARDS WORK PARTITIONS THREADS MEMORY

SHARDS is a folder of `<number>.parquet`. One partition is one task with all threads and memory; of several, as many tasks as threads work
at once, each with its share. The result is in WORK/out. Prints a JSON object: seconds, processor time with that of
loading, documents kept.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq

from data.dedup.config import DedupConfig
from data.dedup.dedup import dedup
from data.documents.sharding import shard_files
from tasks.stage.execution.resources import Resources
from tests.data.dedup.partitions import Partitioned


def main() -> None:
    """Do it."""
    source, work, partitions = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    resources = Resources(threads=int(sys.argv[4]), memory=sys.argv[5])
    shards = sorted(source.glob("*.parquet"), key=lambda path: int(path.stem))
    rules, output, began = DedupConfig(keep=("known_words", "longest")), work / "out", time.perf_counter()
    if partitions == 1:
        dedup(shards, output, rules, threads=resources.cores, memory=resources.memory, scratch=work / "scratch")
    else:
        share = resources.shared(resources.cores)
        Partitioned(work / "steps", shards, rules, partitions, work / "scratch", resources.cores, share.memory).run(output)
    kept = sum(pq.read_metadata(path).num_rows for path in shard_files(output, len(shards)))
    seconds = {"dedup": time.perf_counter() - began, "of processor time": time.process_time()}
    print(json.dumps({"seconds": seconds, "kept": dict.fromkeys(seconds, kept)}))


if __name__ == "__main__":
    main()
