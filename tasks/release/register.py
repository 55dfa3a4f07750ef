"""Register: the released model gets a version in MLflow's registry and, if its gate passed, the alias `champion`.

No stage, since it makes no artifact: it is idempotent instead. A digest that has a version keeps it, so a lost registry is filled
again by the next run, and the alias moves only here. A release whose gate was overruled gets a version and leaves the alias alone.
"""

from __future__ import annotations

from tasks.stage.execution.run import current_run
from tasks.stage.store.artifact import Artifact, StageOutput

CHAMPION = "champion"


def register(name: str, exported: StageOutput, verdict: StageOutput) -> None:
    """Register an exported model under `name`; nothing while planning or without tracking. The version is known when the run closes."""
    run = current_run()
    if isinstance(exported, Artifact) and isinstance(verdict, Artifact) and run.tracker is not None:
        run.tracker.register(name, exported, CHAMPION if verdict.metrics["passed"] == 1.0 else None)
