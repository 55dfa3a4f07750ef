"""Universe: a generated corpus as files on disk, and the truth about it."""

from __future__ import annotations

from data.universe.config import UniverseSource
from data.universe.write import write_universe
from tasks.stage.stage import Metrics, Workspace, stage


@stage(libraries=("pyarrow",))
def universe(config: UniverseSource, work: Workspace) -> Metrics:
    """Nothing -> books/, truth/, world.json."""
    return write_universe(work.output, config)
