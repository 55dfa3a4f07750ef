"""Register: the released model gets a version in MLflow's registry and the alias `champion`.

No stage, since it makes no artifact: it is idempotent instead. A digest that has a version keeps it, so a lost registry is filled
again by the next run, and the alias moves only here, behind the release gate.
"""

from __future__ import annotations

from prefect import task

from tasks.stage.artifact import Artifact, Made
from tasks.stage.progress import say
from tasks.stage.run import current_run

CHAMPION = "champion"


def register(name: str, exported: Made) -> None:
    """Register an exported model under `name`; nothing while planning or without tracking."""
    run = current_run()
    if isinstance(exported, Artifact) and run.tracker is not None:
        _register(name, exported)


@task(name="register", task_run_name="register")
def _register(name: str, exported: Artifact) -> None:
    tracker = current_run().tracker
    if tracker is not None:
        version = tracker.register(name, exported, CHAMPION)
        say(f"register: {name} version {version} is {CHAMPION}")
