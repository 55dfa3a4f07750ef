"""Register: have the released model get a version in MLflow's registry and, if its gate passed, the alias `champion`.

No stage, since it makes no artifact. The run only records what is to be registered; MLflow is told with the run's end, and a digest that
has a version keeps it. A release whose gate was overruled gets a version but not the alias.
"""

from __future__ import annotations

from tasks.gate import read_verdict
from tasks.stage.execution.run import current_run
from tasks.stage.store.artifact import Artifact, StageOutput
from tasks.stage.store.journal import RegisteredModel

CHAMPION = "champion"


def register(name: str, exported: StageOutput, verdict: StageOutput) -> None:
    """Record that an exported model is to be registered under `name`, unless planning."""
    run = current_run()
    if isinstance(exported, Artifact) and isinstance(verdict, Artifact):
        alias = CHAMPION if read_verdict(verdict).passed else ""
        run.registered = (*run.registered, RegisteredModel(name=name, alias=alias, location=exported.location, digest=exported.digest))
