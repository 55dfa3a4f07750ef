"""folio doing what `tests.benchmarks.corpus` measures, in a process of its own: python -m tests.benchmarks.ours ORDER

ORDER is a JSON object with the fields of `Order`. The functions of `data` are called as the stages call them: shards side by side, each
with its share of threads and memory, then what compares documents with all of it. Prints a JSON object: seconds of each step, documents
kept, and its peak in bytes of resident memory, which Linux marks (`VmHWM`, proc(5)) and the end of each step unmarks.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data.cleaning.clean import clean
from data.cleaning.config import CleanConfig
from data.dedup.config import DedupConfig
from data.dedup.dedup import dedup
from data.documents.sharding import SLICE, shard_files
from data.filtering.config import FilterConfig
from data.filtering.filter import filter_documents
from data.filtering.observed_files import ObservedFiles
from data.sources.config import IngestConfig
from data.sources.ingest import IngestInputs, ingest
from data.sources.reading import unpack
from tasks.stage.execution.resources import Resources
from tasks.stage.stage import ShardIndex

KEPT = "documents.parquet"


@dataclass(frozen=True)
class Order:
    """`source`: a folder of shards, `<number>.parquet`, or with `raw` of JSONL files. `full`: every rule of cleaning, not repair alone."""

    source: str
    work: str
    shards: int
    threads: int
    memory: str
    full: bool
    filtered: bool
    raw: bool
    shingle: int
    bands: int
    rows: int

    @property
    def cleaning(self) -> CleanConfig:
        """All rules, or the repair of encodings alone."""
        if self.full:
            return CleanConfig()
        off: dict[str, Any] = {name: False for name, field in CleanConfig.model_fields.items() if field.default is True}
        return CleanConfig(**off | {"encoding": True, "dashes": "keep", "minimum_characters": 0})

    @property
    def filtering(self) -> FilterConfig:
        """The published rules with the thresholds of the papers."""
        return FilterConfig.model_validate({name: {"enabled": True} for name in ("gopher_repetition", "gopher_quality", "c4", "fineweb")})

    @property
    def deduplication(self) -> DedupConfig:
        """Documents equal or nearly so; with `full` all that is on by default as well."""
        near = {"shingle": self.shingle, "bands": self.bands, "rows": self.rows}
        less = {} if self.full else {"page": {"enabled": False}, "paragraph": {"enabled": False}}
        return DedupConfig.model_validate({"near": near, **less})


class Chain:
    """The stages in order, each on what the one before it kept; what is no longer needed goes, as disks have an end."""

    def __init__(self, order: Order) -> None:
        self.order, self.work = order, Path(order.work)
        self.resources = Resources(threads=order.threads, memory=order.memory)
        self.seconds, self.kept, self.peaks = dict[str, float](), dict[str, int](), dict[str, int]()

    def run(self) -> None:
        """All of it."""
        order, source = self.order, Path(self.order.source)
        if order.raw:
            files = {"kind": "files", "name": "pile", "paths": ["*.jsonl"], "formats": ["jsonl"], "id_field": "id"}
            config = IngestConfig.model_validate({"sources": [files], "shards": order.shards})
            self._each("unpack", lambda n, out, limits: unpack(config, out, source, self.work, ShardIndex(n, order.shards), **limits), "")
            opened = [self.work / "unpack" / str(group) for group in range(order.shards)]
            slices = [[group / SLICE.format(number) for group in opened] for number in range(order.shards)]
            around = [IngestInputs(source, self.work, unpacked=part) for part in slices]
            shards = self._each("ingest", lambda n, out, limits: ingest(config, out, around[n], ShardIndex(n, order.shards), **limits))
            self._drop("unpack")
        else:
            shards = [source / f"{number}.parquet" for number in range(order.shards)]
        cleaned = self._each("clean", lambda n, out, limits: clean(shards[n], out, order.cleaning, **limits))
        self._drop("ingest")
        if order.filtered:
            lists, given = ObservedFiles(source), cleaned
            cleaned = self._each("filter", lambda n, out, limits: filter_documents(given[n], out, order.filtering, lists, **limits))
            self._drop("clean")
        began, output = time.perf_counter(), self.work / "dedup"
        dedup(cleaned, output, order.deduplication, **self._limits(self.resources, output))
        self._done("dedup", began, shard_files(output, order.shards))

    def _each(self, stage: str, body: Callable[[int, Path, dict[str, Any]], object], kept: str = KEPT) -> list[Path]:
        began, share = time.perf_counter(), self.resources.shared(self.order.threads)
        outputs = [self.work / stage / str(number) for number in range(self.order.shards)]
        with ThreadPoolExecutor(self.order.threads) as pool:
            list(pool.map(lambda n: body(n, outputs[n], self._limits(share, outputs[n])), range(self.order.shards)))
        files = [output / kept for output in outputs if kept]
        self._done(stage, began, files)
        return files

    def _limits(self, resources: Resources, output: Path) -> dict[str, Any]:
        scratch = self.work / "scratch" / output.parent.name / output.name
        return {"threads": resources.cores, "memory": resources.memory, "scratch": scratch}

    def _done(self, stage: str, began: float, files: Sequence[Path]) -> None:
        self.seconds[stage] = time.perf_counter() - began
        if files:
            self.kept[stage] = sum(pq.read_metadata(file).num_rows for file in files)
        self.peaks[stage] = _peak()

    def _drop(self, stage: str) -> None:
        shutil.rmtree(self.work / stage, ignore_errors=True)


def _peak() -> int:
    """The most bytes of memory this process has held since it was last asked."""
    told = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    Path("/proc/self/clear_refs").write_text("5")
    return int(told["VmHWM"].split()[0]) * 1024


def main() -> None:
    """Do as ordered."""
    chain = Chain(Order(**json.loads(sys.argv[1])))
    chain.run()
    print(json.dumps({"seconds": chain.seconds, "kept": chain.kept, "peaks": chain.peaks}))


if __name__ == "__main__":
    main()
