"""datatrove doing what `tests.benchmarks.corpus` compares with; run by it, with the Python of an environment that has datatrove.

    python peer.py INPUT WORK TASKS WORKERS FILTERS SHINGLE BANDS ROWS

INPUT holds JSONL files, one a task. Prints a JSON object: seconds of each step and the number of documents kept. Steps: read, repair of
encodings and filters, write; exact deduplication (three blocks); MinHash (four blocks). Each executor's own start is counted, as a user
pays it. Word splitting is spaCy's, datatrove's choice for English.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashConfig, MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.exact_dedup import ExactDedupConfig, ExactDedupFilter, ExactDedupSignature, ExactFindDedups
from datatrove.pipeline.filters import C4QualityFilter, FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter
from datatrove.pipeline.formatters import FTFYFormatter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter


def content(document: Document) -> str:
    """What exact duplicates have in common."""
    text: str = document.text
    return text


def filters() -> list[Any]:
    """Published rules with the thresholds of the papers."""
    return [GopherRepetitionFilter(), GopherQualityFilter(), C4QualityFilter(), FineWebQualityFilter(char_duplicates_ratio=0.1)]


def main(source: Path, work: Path, tasks: int, workers: int, filtered: bool, shingle: int, bands: int, rows: int) -> None:
    """Run every step and tell what it took."""
    seconds: dict[str, float] = {}
    ran: list[str] = []
    cleaned, unique, kept = (str(work / name) for name in ("cleaned", "unique", "kept"))
    exact, near = ExactDedupConfig(content_getter=content), MinhashConfig(n_grams=shingle, num_buckets=bands, hashes_per_bucket=rows)

    def run(name: str, steps: list[Any], count: int = tasks) -> None:
        began = time.perf_counter()
        # A folder of logs tells which tasks were done, and those are not done again.
        ran.append(name)
        logs = str(work / "logs" / f"{len(ran)}-{name}")
        LocalPipelineExecutor(steps, tasks=count, workers=min(count, workers), logging_dir=logs).run()
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - began

    def folder(name: str) -> str:
        return str(work / "between" / name)

    def read(place: str) -> JsonlReader:
        return JsonlReader(place, glob_pattern="*.jsonl", compression=None)

    def write(place: str) -> JsonlWriter:
        return JsonlWriter(place, "${rank}.jsonl", compression=None)

    run("clean", [read(str(source)), FTFYFormatter(), *(filters() if filtered else []), write(cleaned)])
    run("exact", [read(cleaned), ExactDedupSignature(folder("exact"), exact)])
    run("exact", [ExactFindDedups(folder("exact"), folder("doubles"), exact)], 1)
    run("exact", [read(cleaned), ExactDedupFilter(folder("doubles"), exact), write(unique)])
    run("near", [read(unique), MinhashDedupSignature(folder("signatures"), near)])
    run("near", [MinhashDedupBuckets(folder("signatures"), folder("buckets"), config=near)], bands)
    run("near", [MinhashDedupCluster(folder("buckets"), folder("removed"), near)], 1)
    run("near", [read(unique), MinhashDedupFilter(folder("removed")), write(kept)])
    places = {"clean": cleaned, "exact": unique, "near": kept}
    counts = {name: sum(map(_lines, Path(place).glob("*.jsonl"))) for name, place in places.items()}
    print(json.dumps({"seconds": seconds, "kept": counts}))


def _lines(path: Path) -> int:
    with path.open("rb") as lines:
        return sum(1 for _ in lines)


if __name__ == "__main__":
    given = sys.argv[1:]
    tasks, workers, shingle, bands, rows = (int(text) for text in (*given[2:4], *given[5:8]))
    main(Path(given[0]), Path(given[1]), tasks, workers, given[4] == "yes", shingle, bands, rows)
