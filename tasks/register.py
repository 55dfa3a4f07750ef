"""Register: the released model gets a version in MLflow's registry and, if its gate passed, the alias `champion`.

No stage, since it makes no artifact: it is idempotent instead. A digest that has a version keeps it, so a lost registry is filled
again by the next run, and the alias moves only here. A release whose gate was overruled gets a version and leaves the alias alone.
"""

from __future__ import annotations

from prefect import task

from tasks.stage.artifact import Artifact, Made
from tasks.stage.journal import Registered
from tasks.stage.progress import say
from tasks.stage.run import current_run

CHAMPION = "champion"


def register(name: str, exported: Made, verdict: Made) -> None:
    """Register an exported model under `name`; nothing while planning or without tracking."""
    run = current_run()
    if isinstance(exported, Artifact) and isinstance(verdict, Artifact) and run.tracker is not None:
        _register(name, exported, verdict.metrics["passed"] == 1.0)


@task(name="register", task_run_name="register")
def _register(name: str, exported: Artifact, passed: bool) -> None:
    run = current_run()
    if run.tracker is None:
        return
    alias = CHAMPION if passed else ""
    version = run.tracker.register(name, exported, alias or None)
    known = Registered(name=name, version=version, alias=alias, location=exported.location, digest=exported.digest)
    run.registered.append(known)
    say(f"register: {name} version {version} {f'is {CHAMPION}' if passed else 'is no champion, since its gate was overruled'}")
