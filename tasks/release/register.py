"""Register: give the released model a version in MLflow's registry and, if its gate passed, the alias `champion`.

No stage, since it makes no artifact. It is idempotent: a digest that has a version keeps it, so the next run refills a registry that was
lost. The alias moves only here; a release whose gate was overruled gets a version but not the alias.
"""

from __future__ import annotations

from tasks.gate import read_verdict
from tasks.stage.execution.run import current_run
from tasks.stage.store.artifact import Artifact, StageOutput

CHAMPION = "champion"


def register(name: str, exported: StageOutput, verdict: StageOutput) -> None:
    """Register an exported model under `name`, unless planning or without tracking. The run learns the version when it closes."""
    run = current_run()
    if isinstance(exported, Artifact) and isinstance(verdict, Artifact) and run.exporter is not None:
        run.exporter.register(name, exported, CHAMPION if read_verdict(verdict).passed else None)
