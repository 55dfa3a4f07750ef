"""Universe: generate a small world, and books about it whose clean text and facts are known."""

from __future__ import annotations

from data.universe.config import UniverseSource
from tasks.forecast.hook import WorkHook
from tasks.forecast.measures import books
from tasks.lineage.hook import Holding, Inspection, LineageHook
from tasks.stage.stage import Metrics, Workspace, stage


def _inspect(inspection: Inspection) -> Holding:
    """Its books are files; truth/ has them again, undamaged."""
    document = inspection.document
    is_ours = document.source == inspection.artifact.config.get("kind") and inspection.has(document.path)
    return inspection.holding({document.path, "truth"} if is_ours else ())


@stage(hooks=(LineageHook(_inspect), WorkHook(books, "books")))
def universe(config: UniverseSource, work: Workspace) -> Metrics:
    """Nothing -> books/, truth/, world.json."""
    from data.universe.write import write_universe

    return write_universe(work.output, config)
