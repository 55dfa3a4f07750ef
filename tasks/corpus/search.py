"""Search: find what the documents of a shard share with the recipe's evaluation sets, as positions and hashes.

The key includes the names and content of those sets' files, which no later stage reads.
"""

from __future__ import annotations

from pathlib import Path

from data.decontamination.config import SearchConfig
from data.decontamination.evaluation import evaluation_digests
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import holds_nothing
from tasks.stage.stage import Metrics, Workspace, stage


@stage(observes=evaluation_digests, hooks=(LineageHook(holds_nothing),))
def search(
    config: SearchConfig, work: Workspace, documents: Path, test: list[Path] | None = None, questions: Path | None = None
) -> Metrics:
    """documents.parquet of a shard, and what the run holds out -> matches.parquet, sought.parquet, sets.parquet."""
    from data.decontamination.search import search as find_matches

    held_out = {name: files for name, files in (("test", test or []), ("questions", [questions] if questions else [])) if files}
    return find_matches(documents, work.output, config, root=work.root, observed=work.observed, held_out=held_out, **work.limits)
