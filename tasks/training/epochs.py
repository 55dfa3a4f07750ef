"""How many times training repeats its rows: reported before it starts, with a warning where a source is repeated too often."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.stage.stage import Workspace
from tasks.stage.system.progress import log

if TYPE_CHECKING:
    from model.training.job import Job

# Up to four epochs taught as much as new text (Muennighoff et al. 2023, "Scaling Data-Constrained Language Models").
MAX_USEFUL_EPOCHS = 4.0


def report_epochs(job: Job, work: Workspace) -> dict[str, float]:
    """Record and return `epochs`, or `epochs_<source>` for each source of a mixture."""
    from model.training.job_batches import count_epochs

    metrics = count_epochs(job)
    work.series([(f"train.{name}", value, 0) for name, value in metrics.items()])
    for name, value in metrics.items():
        if name != "epochs" and value > MAX_USEFUL_EPOCHS:
            source = name.removeprefix("epochs_")
            log(f"mixture: source {source} is repeated {value:.1f} times; beyond {MAX_USEFUL_EPOCHS:g} little is learned, lower its weight")
    return metrics
