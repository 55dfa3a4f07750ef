"""Carries decisions out: as Prefect tasks, take artifacts from the store, or have the work done, and show it.

Shards that must run are mapped over the run's crew (`resources.runner`), as many at once as it has workers, which then share the threads
and the memory that the recipe allows; one call alone runs in the caller's thread and has all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from tasks.stage.call import Call
from tasks.stage.execution.execute_stage import Site, Telling
from tasks.stage.execution.prefect_cache import Outcome
from tasks.stage.execution.run import Run
from tasks.stage.execution.run_task import Notes, Work, carry_out
from tasks.stage.identity.key import stable
from tasks.stage.store.artifact import Artifact, Part
from tasks.stage.tracking.mlflow_exporter import flat_parameters
from tasks.stage.tracking.progress import clock, say
from tasks.stage.tracking.reporter import Showing
from tasks.stage.tracking.server import require_server


def perform(run: Run, place: str, calls: Sequence[Call]) -> list[Artifact]:
    """The artifacts of a stage's calls, in their order, reused or made. Raises what a body raises."""
    showing = Showing(run, place, calls[0].decision.key, flat_parameters({"config": stable(calls[0].config, place)}))
    site = Site(run.store, run.root, run.home, run.started)
    task = carry_out.with_options(name=place, result_storage=run.home / "prefect-results")
    anew = task.with_options(refresh_cache=True)
    due = [call for call in calls if call.decision.action == "run"]
    outcomes: dict[str, Outcome] = {}

    def done(work: Work, outcome: Outcome) -> None:
        made, name = outcome.artifact, work.call.decision.place
        outcomes[name] = outcome
        showing.series(list(outcome.rows))
        if outcome.executed:
            say(f"{name}: done in {clock(made.cost.wall_seconds)}, {made.name}")

    if due:
        require_server()
    try:
        for call in calls:
            if call not in due:
                work = Work(site, call, run.resources, showing)
                done(work, task(**work.parameters()))
        mapped = calls[0].shard is not None and run.crew.takes(len(due))
        resources = run.crew.share(len(due)) if mapped else run.resources
        telling: Telling = Notes(showing.begun()) if mapped and run.crew.elsewhere else showing
        works = [Work(site, call, resources, telling) for call in due]
        if mapped:
            run.crew.carry_out(anew, works, done)
        else:
            for work in works:
                done(work, anew(**work.parameters()))
    except BaseException as error:
        showing.failed(error)
        raise
    artifacts = {call.decision.place: outcomes[call.decision.place].artifact for call in calls}
    executed = {name for name, outcome in outcomes.items() if outcome.executed}
    model_id = next(iter(artifacts.values())).origin.mlflow_model_id or _model_told_of(calls[0])
    showing.done(artifacts, executed, {call.decision.place: call.decision for call in calls}, model_id)
    return list(artifacts.values())


def _model_told_of(call: Call) -> str:
    """The LoggedModel among a call's inputs, such as the one an evaluation measures, or ""."""
    given = (value.artifact if isinstance(value, Part) else value for value in call.inputs.values())
    return next((a.origin.mlflow_model_id for a in given if isinstance(a, Artifact) and a.origin.mlflow_model_id), "")
