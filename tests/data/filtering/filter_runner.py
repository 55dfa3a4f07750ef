"""Runs the filters over a few texts and collects their output."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data.documents.rows import DOCUMENTS, write_rows
from data.filtering.config import FilterConfig
from data.filtering.filter import filter_documents
from data.filtering.observed_files import ObservedFiles


@dataclass(frozen=True)
class Filtered:
    """The output of a run: texts and metadata of kept documents, and the ledger."""

    output: Path
    metrics: dict[str, float]
    texts: dict[str, str]
    metadata: dict[str, dict[str, Any]]
    ledger: list[dict[str, Any]]

    def fates(self) -> dict[str, tuple[str, str]]:
        """Return (rule, detail) of each document's closing row; kept documents have ("", "")."""
        return {row["id"]: (row["rule"], row["detail"]) for row in self.ledger if row["action"] in ("kept", "removed")}

    def table(self, name: str) -> list[dict[str, Any]]:
        """Return the rows of one of the other files."""
        rows: list[dict[str, Any]] = pq.read_table(self.output / f"{name}.parquet").to_pylist()
        return rows


def run(
    folder: Path,
    texts: dict[str, str],
    config: dict[str, Any],
    *,
    paths: dict[str, str] | None = None,
    root: Path | None = None,
    threads: int = 1,
    classifier: Path | None = None,
) -> Filtered:
    """Run the filters of `config` over texts by id; a group is enabled if `config` names it."""
    groups = {name: {"enabled": True, **group} for name, group in config.items()}
    rows = [
        {"id": name, "title": name, "source": "test", "text": texts[name], "synthetic": False,
         "metadata": json.dumps({"path": (paths or {}).get(name, f"{name}.txt")})}
        for name in sorted(texts)
    ]  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "documents.parquet", DOCUMENTS, rows)
    output = folder / "out"
    limits: dict[str, Any] = {"threads": threads, "memory": "500MB", "scratch": folder / "scratch"}
    checked = FilterConfig.model_validate(groups)
    metrics = filter_documents(
        folder / "documents.parquet", output, checked, ObservedFiles(root or folder), classifier=classifier, **limits
    )
    kept = pq.read_table(output / "documents.parquet").to_pylist()
    return Filtered(
        output,
        metrics,
        {row["id"]: row["text"] for row in kept},
        {row["id"]: json.loads(row["metadata"]) for row in kept},
        pq.read_table(output / "ledger.parquet").to_pylist(),
    )
