"""The audit of a corpus: does held-out text stand in train, and where did every document go?

Judges nothing: it measures, and a gate compares. Reads the splits once and the ledgers once; memory as DuckDB is told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data.audit.config import AuditConfig
from data.audit.funnel import funnel
from data.audit.leaks import report_leaks
from data.documents.database import workspace
from data.documents.stream import batches

SPLITS = ("train", "val", "test")


def audit(
    ledgers: Mapping[str, Sequence[Path]], splits: Path, output: Path, config: AuditConfig, *, threads: int, memory: str, scratch: Path
) -> dict[str, float]:
    """Writes `leaks.parquet`, `leaked_documents.parquet` and `funnel.json` into `output`.

    `ledgers` names the stages in order, each with the folders of its shards; `splits` holds the three files of the split. Returns
    leaks as shares, counts of documents and characters before and after, and `balanced`: 1 if every stage accounts for every
    document.
    """
    output.mkdir(parents=True, exist_ok=True)
    with workspace(scratch, threads=threads, memory=memory) as work:
        metrics = report_leaks(work, splits, output, config)
        stages = funnel(work, ledgers)
    parts = [_part(part, splits / f"{part}.parquet") for part in SPLITS]
    kept = {name: size for part in parts for name, (_, size) in part.pop("sizes").items()}
    report = {"format": 1, "stages": stages, "splits": parts, "documents_kept": len(kept), "characters_kept": sum(kept.values())}
    (output / "funnel.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for entry in stages:
        metrics[f"documents_removed_{entry['stage']}"] = float(entry["documents_removed"])
    metrics["documents_in"] = float(stages[0]["documents_in"] if stages else len(kept))
    metrics["documents_kept"] = float(len(kept))
    metrics["characters_in"] = float(stages[0]["characters"] if stages else sum(kept.values()))
    metrics["characters_kept"] = float(sum(kept.values()))
    whole = not stages or stages[-1]["documents"] == len(kept)
    metrics["balanced"] = float(whole and all(entry["balanced"] for entry in stages))
    return metrics


def _part(name: str, path: Path) -> dict[str, Any]:
    """Documents and characters of a split, in all and by source; `sizes`: id -> (source, characters)."""
    rows = (row for batch in batches(path, ("id", "source", "text")) for row in batch.to_pylist())
    sizes = {row["id"]: (row["source"], len(row["text"])) for row in rows}
    sources: dict[str, dict[str, int]] = {}
    for source, size in sizes.values():
        entry = sources.setdefault(source, {"documents": 0, "characters": 0})
        entry["documents"] += 1
        entry["characters"] += size
    characters = sum(size for _, size in sizes.values())
    by_source = dict(sorted(sources.items()))
    return {"split": name, "documents": pq.read_metadata(path).num_rows, "characters": characters, "sources": by_source, "sizes": sizes}
