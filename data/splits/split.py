"""Splits documents into train, validation and test by whole clusters of near-duplicates, stable when books are added.

`assignment` decides where each document goes; this module writes the files. Synthetic documents are never held out: they go to train, up to
`synthetic_share`, or nowhere. Every removed document is in the ledger, and word for word in `removed/`.

Costs one pass over the texts and one over their lengths. Memory holds a few megabytes of text; DuckDB holds the ids and spills.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from data.documents.database import Database, open_database
from data.documents.ledger import RemovalWriter, require_balance
from data.documents.rows import rows
from data.documents.schema import LEDGER, write_rows
from data.documents.stream import DocumentWriter, batches, sorted_by_id
from data.splits.assignment import assign_documents
from data.splits.config import SplitConfig
from data.splits.passages import cut
from data.splits.sql import SQL

SPLITS = ("train", "val", "test")
_LEDGER = SQL / "ledger.sql"
_COPIES = "split IS NOT NULL AND NOT synthetic"
_ASSIGNMENT = "SELECT id, split, rule, cut FROM assignment ORDER BY id"


def split(
    documents: Path, clusters: Path, output: Path, config: SplitConfig, *, threads: int, memory: str, scratch: Path
) -> dict[str, float]:
    """Write `train.parquet`, `val.parquet`, `test.parquet`, `ledger.parquet` and `removed/` into `output`.

    `clusters` holds (id, cluster) as dedup writes it, and may name documents that later stages removed. With `mode: all_train` all three
    splits hold every document that a person wrote, and the metric `shared` is 1: validation then measures memorization, not learning.
    With `mode: passages` a document that is cut has a row in each split, with its part of the text.
    Return documents, characters and clusters of each split; synthetic_documents, synthetic_characters and synthetic_share (of train);
    synthetic_dropped; stand_ins (see `assignment`). Raise what `assign_documents` raises.
    """
    output.mkdir(parents=True, exist_ok=True)
    shared = config.mode == "all_train"
    with open_database(scratch, threads=threads, memory=memory) as work:
        source = sorted_by_id(work, [documents])
        assign_documents(work, source, clusters, config)
        metrics = _write(work, source[0], output, config)
        write_rows(output / "ledger.parquet", LEDGER, rows(work, _LEDGER.read_text("utf-8")))
        # Val and test that are copies of train don't count: only what train holds was kept.
        stayed = [output / f"{part}.parquet" for part in (SPLITS[:1] if shared else SPLITS)]
        require_balance(work, "split", [documents], stayed, output / "ledger.parquet")
        for part in SPLITS:
            condition = _COPIES if shared and part != "train" else f"split = '{part}'"
            if part in config.held_out and config.mode == "passages":
                condition = "cut"
            metrics[f"clusters_{part}"] = work.number(f"SELECT count(DISTINCT cluster) FROM assignment WHERE {condition}")
        metrics["stand_ins"] = work.number("SELECT count(*) FROM component WHERE stand_in")
    total = metrics["characters_train"]
    metrics["synthetic_share"] = metrics["synthetic_characters"] / total if total else 0.0
    return {**metrics, "shared": float(shared)}


def _write(work: Database, documents: Path, output: Path, config: SplitConfig) -> dict[str, float]:
    """Write the three splits and the removed documents, joining documents and assignments, both ordered by id."""
    counts = dict.fromkeys((f"{kind}_{part}" for kind in ("documents", "characters") for part in SPLITS), 0.0)
    counts |= dict.fromkeys(("synthetic_documents", "synthetic_characters", "synthetic_dropped"), 0.0)
    assignments = rows(work, _ASSIGNMENT)
    with ExitStack() as stack:
        writers = {part: stack.enter_context(DocumentWriter(output / f"{part}.parquet")) for part in SPLITS}
        removed = stack.enter_context(RemovalWriter(output))
        for batch in batches(documents):
            for row, assigned in zip(batch.to_pylist(), assignments, strict=False):
                size, part = len(row["text"]), assigned["split"]
                if part is None:
                    removed.write(str(assigned["rule"]), row["id"], 0, row["text"])
                    counts["synthetic_dropped"] += 1
                    continue
                if row["synthetic"]:
                    counts["synthetic_documents"] += 1
                    counts["synthetic_characters"] += size
                for name, text in _parts(row, str(part), assigned["cut"], config).items():
                    writers[name].write({**row, "text": text})
                    counts[f"documents_{name}"] += 1
                    counts[f"characters_{name}"] += len(text)
    return counts


def _parts(row: dict[str, Any], part: str, is_cut: bool, config: SplitConfig) -> dict[str, str]:
    """Return what each split holds of a document."""
    if is_cut:
        return cut(row["text"], config)
    return dict.fromkeys(SPLITS if config.mode == "all_train" and not row["synthetic"] else (part,), row["text"])
