"""How often the rows of a training stage come round, told before it begins. No stage, since it makes no artifact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.stage.stage import Workspace
from tasks.stage.system.progress import log

if TYPE_CHECKING:
    from model.training.job import Job

# Up to four rounds taught as much as new text did (Muennighoff et al. 2023, "Scaling Data-Constrained Language Models").
AS_GOOD_AS_NEW = 4.0


def tell_epochs(job: Job, work: Workspace) -> dict[str, float]:
    """`epochs`, or `epochs_<source>` of each source of a mixture, which is also warned of when it comes round too often."""
    from model.training.job_batches import count_epochs

    told = count_epochs(job)
    work.series([(f"train.{name}", times, 0) for name, times in told.items()])
    for name, times in told.items():
        if name != "epochs" and times > AS_GOOD_AS_NEW:
            source = name.removeprefix("epochs_")
            log(f"mixture: source {source} comes round {times:.1f} times, and more than {AS_GOOD_AS_NEW:g} teach little; lower its weight")
    return told
