"""Census: account for every entry that the recipe's sources point to: read, set aside, or of a kind that the recipe doesn't ask for.

The key includes the names of all local entries and the content of archives, so a file that no source reads changes the census and nothing
else. A file that ingest lost fails the run.
"""

from __future__ import annotations

from pathlib import Path

from data.sources.config import IngestConfig
from data.sources.files import census_state
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import holds_nothing
from tasks.stage.stage import Metrics, Workspace, stage


@stage(observes=census_state, hooks=(LineageHook(holds_nothing),))
def census(config: IngestConfig, work: Workspace, ingested: list[Path]) -> Metrics:
    """Sources and the tables of ingest -> census.parquet, census.json."""
    from data.sources.census import census as count_entries

    return count_entries(config, work.output, ingested, work.root, work.cache, **work.limits)
