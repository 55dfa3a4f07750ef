"""Carries a decision out: as a Prefect task, take the artifact from the store, or do the work, commit it and track it.

Guarantees: one execution of a key at a time; a body that raises commits nothing; work in progress of a killed stage stays under
`.staging/<stage>-<key>/resume`, where the same key finds it again, and goes when the artifact is committed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from prefect import task
from pydantic import BaseModel

from tasks.stage.artifact import Artifact, Part, content_digest, list_files
from tasks.stage.cost import Stopwatch, origin
from tasks.stage.identity import stable
from tasks.stage.plan import Decision
from tasks.stage.prefect_cache import StageKey, VerifiedRecord
from tasks.stage.progress import Meter, clock, say
from tasks.stage.resources import Resources
from tasks.stage.run import Run
from tasks.stage.store import Damaged
from tasks.stage.tracking import flat_parameters, model_files

Metrics = Mapping[str, float]
Body = Callable[..., Metrics]


class SourceEdited(RuntimeError):
    """The code of a stage is no longer what its key was computed from."""


class Limits(TypedDict):
    """Threads, memory such as "4GB", and where to spill."""

    threads: int
    memory: str
    scratch: Path


@dataclass(frozen=True)
class Workspace:
    """Where and with what a stage's body works. `output` becomes the artifact; `scratch` is thrown away; `digests` are the inputs'.

    `uses(n)` says that n accelerators are in use from now on, for the account of cost.
    """

    output: Path
    scratch: Path
    resume: Path
    root: Path
    cache: Path
    resources: Resources
    meter: Meter
    digests: Mapping[str, str]
    series: Callable[[list[tuple[str, float, int]]], None]
    uses: Callable[[int], None]

    @property
    def limits(self) -> Limits:
        """What DuckDB may use, as keyword arguments."""
        return Limits(threads=self.resources.cores, memory=self.resources.memory, scratch=self.scratch)


@dataclass(frozen=True)
class Call:
    """One decided call of a stage. `edited` names code that changed on disk since the call's key was computed."""

    body: Body
    is_model: bool
    label: str
    config: BaseModel
    inputs: Mapping[str, Artifact | Part]
    ingredients: Mapping[str, str]
    decision: Decision
    edited: Callable[[], tuple[str, ...]]


def perform(run: Run, call: Call) -> Artifact:
    """The artifact of a call, reused or made. Raises what the body raises."""
    decision = call.decision
    executed: list[str] = []

    @task(
        name=decision.place,
        task_run_name=decision.place,
        cache_policy=StageKey(),
        persist_result=True,
        result_storage=run.home / "prefect-results",
        result_serializer=VerifiedRecord(),
        refresh_cache=decision.action == "run",
    )
    def carry_out(place: str, key: str) -> Artifact:
        with run.store.lock(key, lambda: say(f"{place}: another run is making this; waiting for it")):
            found = run.store.find(decision.stage, key, digests=decision.damaged is not None)
            if isinstance(found, Artifact) and (not decision.refresh or found.origin.created > run.started):
                return found
            if isinstance(found, Damaged):
                aside, what = run.store.quarantine(found), f"{found.location} was damaged ({'; '.join(found.problems)})"
                say(f"{place}: {what}; it was put aside in {aside} and is made again")
            executed.append(key)
            return execute(run, call)

    artifact = carry_out(decision.place, decision.key)
    run.artifacts[decision.place] = artifact
    if not executed:
        run.reused.add(decision.place)
        say(f"{decision.place}: reused {artifact.name}")
        if run.tracker is not None:
            run.tracker.reuse_stage(decision.place, artifact)
    return artifact


def execute(run: Run, call: Call) -> Artifact:
    """Run a stage's body, commit what it wrote and track it; a stage that doesn't get there is tracked as failed."""
    place, key = call.decision.place, call.decision.key
    say(f"{place}: runs because {'; '.join(call.decision.causes[:3]) or 'its artifact is gone'}")
    parameters = flat_parameters({"config": stable(call.config, place)})
    run_id = run.tracker.start_stage(place, key, parameters) if run.tracker else ""
    watch = Stopwatch()
    try:
        artifact = _make(run, call, run_id, parameters, watch)
    except BaseException as error:
        if run.tracker is not None:
            run.tracker.fail_stage(place, error)
        raise
    finally:
        watch.stop()
    if run.tracker is not None:
        run.tracker.finish_stage(place, artifact, artifact.origin.mlflow_model_id or _model_told_of(call))
    say(f"{place}: done in {clock(artifact.cost.wall_seconds)}, {artifact.name}")
    return artifact


def _model_told_of(call: Call) -> str:
    """The LoggedModel among a call's inputs, such as the one an evaluation measures, or ""."""
    given = (value.artifact if isinstance(value, Part) else value for value in call.inputs.values())
    return next((artifact.origin.mlflow_model_id for artifact in given if artifact.origin.mlflow_model_id), "")


def _make(run: Run, call: Call, run_id: str, parameters: Mapping[str, str], watch: Stopwatch) -> Artifact:
    place, stage, key = call.decision.place, call.decision.stage, call.decision.key
    if edited := call.edited():
        raise SourceEdited(
            f"{place}: {', '.join(edited)} changed on disk since this run began, so its key would tell of other code than what runs now. "
            "Start the run again."
        )
    base = run.store.scratch(f"{stage}-{key[:16]}")
    work = _workspace(run, base, place, {name: value.digest for name, value in call.inputs.items()}, watch)
    metrics = call.body(call.config, work, **{name: run.store.local(value) for name, value in call.inputs.items()})
    files = list_files(work.output)
    digest, location = content_digest(files), run.store.place(stage, call.label, key)
    model_id = ""
    if call.is_model and run.tracker is not None:
        model_id = run.tracker.create_model(place, run_id, {"folio.digest": digest, "folio.location": location}, parameters)
        run.tracker.finish_model(model_id, run_id, model_files(work.output))
    stored = stable(call.config, place)
    artifact = Artifact(
        stage=stage,
        label=call.label,
        key=key,
        digest=digest,
        location=location,
        files=files,
        config=stored if isinstance(stored, dict) else {},
        ingredients=dict(call.ingredients),
        inputs={name: value.reference() for name, value in call.inputs.items()},
        metrics={name: float(value) for name, value in sorted(metrics.items())},
        cost=watch.stop(),
        origin=origin(run_id, model_id),
    )
    run.store.commit(work.output, artifact)
    shutil.rmtree(base)
    return artifact


def _workspace(run: Run, base: Path, place: str, digests: Mapping[str, str], watch: Stopwatch) -> Workspace:
    output, scratch, resume = base / "output", base / "scratch", base / "resume"
    for path in (output, scratch):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
    resume.mkdir(exist_ok=True)

    def series(rows: list[tuple[str, float, int]]) -> None:
        if run.tracker is not None:
            run.tracker.series(run.tracker.children[place], rows)

    return Workspace(output, scratch, resume, run.root, run.home / "cache", run.resources, Meter(place), digests, series, watch.use)
