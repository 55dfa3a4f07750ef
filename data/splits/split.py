"""Train, validation and test by whole clusters of near-duplicates, stable when books are added.

Where a document goes is told by `places`; here it is carried out. What a machine wrote is never held out: it goes to train, as much of
it as `synthetic_share` allows, or nowhere. All that leaves is in the ledger, and word for word in `removed/`.

Costs one pass over the texts and one over their lengths. Memory holds a few megabytes of text; ids are DuckDB's, which spills.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from data.documents.database import Database, open_database
from data.documents.ledger import RemovalWriter, require_balance
from data.documents.rows import rows
from data.documents.schema import LEDGER, write_rows
from data.documents.stream import DocumentWriter, batches, sorted_by_id
from data.splits.config import SplitConfig
from data.splits.places import place_documents

SPLITS = ("train", "val", "test")
_LEDGER = Path(__file__).with_name("ledger.sql")
_VERDICT = "SELECT id, place, rule FROM verdict ORDER BY id"


def split(
    documents: Path, clusters: Path, output: Path, config: SplitConfig, *, threads: int, memory: str, scratch: Path
) -> dict[str, float]:
    """Writes `train.parquet`, `val.parquet`, `test.parquet`, `ledger.parquet` and `removed/` into `output`.

    `clusters` holds (id, cluster) as dedup writes it, and may name documents that have left since. With `mode: all_train` all three hold
    every document that a person wrote, and the metric `shared` is 1: validation then measures memory, not learning.
    Returns documents, characters and clusters of each part; synthetic_documents, synthetic_characters and synthetic_share (of train);
    synthetic_dropped; stand_ins (see `places`). Raises what `place_documents` raises.
    """
    output.mkdir(parents=True, exist_ok=True)
    shared = config.mode == "all_train"
    with open_database(scratch, threads=threads, memory=memory) as work:
        source = sorted_by_id(work, [documents])
        place_documents(work, source, clusters, config)
        metrics = _write(work, source[0], output, shared)
        write_rows(output / "ledger.parquet", LEDGER, rows(work, _LEDGER.read_text("utf-8")))
        # Copies of train account for nothing: what stayed is what train holds.
        stayed = [output / f"{part}.parquet" for part in (SPLITS[:1] if shared else SPLITS)]
        require_balance(work, "split", [documents], stayed, output / "ledger.parquet")
        for part in SPLITS:
            named = "place IS NOT NULL AND NOT synthetic" if shared and part != "train" else f"place = '{part}'"
            metrics[f"clusters_{part}"] = work.number(f"SELECT count(DISTINCT cluster) FROM verdict WHERE {named}")
        metrics["stand_ins"] = work.number("SELECT count(*) FROM family WHERE stands_in")
    total = metrics["characters_train"]
    metrics["synthetic_share"] = metrics["synthetic_characters"] / total if total else 0.0
    return {**metrics, "shared": float(shared)}


def _write(work: Database, documents: Path, output: Path, shared: bool) -> dict[str, float]:
    """The three parts and what was removed; documents and verdicts march in step, both by id."""
    counts = dict.fromkeys((f"{kind}_{part}" for kind in ("documents", "characters") for part in SPLITS), 0.0)
    counts |= dict.fromkeys(("synthetic_documents", "synthetic_characters", "synthetic_dropped"), 0.0)
    verdicts = rows(work, _VERDICT)
    with ExitStack() as stack:
        writers = {part: stack.enter_context(DocumentWriter(output / f"{part}.parquet")) for part in SPLITS}
        removed = stack.enter_context(RemovalWriter(output))
        for batch in batches(documents):
            for row, verdict in zip(batch.to_pylist(), verdicts, strict=False):
                size, part = len(row["text"]), verdict["place"]
                if part is None:
                    removed.write(str(verdict["rule"]), row["id"], 0, row["text"])
                    counts["synthetic_dropped"] += 1
                    continue
                if row["synthetic"]:
                    counts["synthetic_documents"] += 1
                    counts["synthetic_characters"] += size
                for name in SPLITS if shared and not row["synthetic"] else (str(part),):
                    writers[name].write(row)
                    counts[f"documents_{name}"] += 1
                    counts[f"characters_{name}"] += size
    return counts
