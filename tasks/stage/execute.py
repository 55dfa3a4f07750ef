"""Carries decisions out: as Prefect tasks, take artifacts from the store, or do the work, commit it and track it.

Guarantees: one execution of a key at a time; a body that raises commits nothing; work in progress of a killed stage stays under
`.staging/<stage>-<key>/resume`, where the same key finds it again, and goes when the artifact is committed. Shards that must run are
mapped over threads, as many at once as there are cores, which then share the threads and the memory that the recipe allows; one call
alone runs in the caller's thread and has all of them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore, Event
from typing import TypedDict

from prefect import task
from prefect.futures import PrefectFuture
from pydantic import BaseModel

from tasks.stage.artifact import Artifact, Given, Part, Pending, Shards, content_digest, list_files, singles
from tasks.stage.cost import Stopwatch, origin
from tasks.stage.identity import stable
from tasks.stage.plan import Decision, settled
from tasks.stage.prefect_cache import StageKey, VerifiedRecord
from tasks.stage.progress import Meter, clock, say
from tasks.stage.resources import Resources
from tasks.stage.run import Run
from tasks.stage.scribe import TrackingError
from tasks.stage.showing import Showing
from tasks.stage.store import Damaged
from tasks.stage.tracking import flat_parameters, model_files

Metrics = Mapping[str, float]
Body = Callable[..., Metrics]


class SourceEdited(RuntimeError):
    """The code of a stage is no longer what its key was computed from."""


class Halted(RuntimeError):
    """A shard that waited for its turn was not begun."""


class Limits(TypedDict):
    """Threads, memory such as "4GB", and where to spill."""

    threads: int
    memory: str
    scratch: Path


@dataclass(frozen=True)
class Shard:
    """Which shard a body works on, counted from 0."""

    number: int
    count: int


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
    observed: Mapping[str, str]
    shard: Shard | None
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
    inputs: Mapping[str, Given | Shards]
    ingredients: Mapping[str, str]
    decision: Decision
    edited: Callable[[], tuple[str, ...]]
    shard: Shard | None

    def given(self) -> dict[str, Artifact | Part]:
        """The inputs by name, each shard by itself."""
        return {name: item for name, item in singles(self.inputs).items() if not isinstance(item, Pending)}

    def digests(self) -> dict[str, str]:
        """The inputs' digests by name, each shard by itself."""
        return {n.removeprefix("input."): v for n, v in self.ingredients.items() if n.startswith("input.")}

    def observed(self) -> dict[str, str]:
        """What was seen of files outside the store when the key was computed."""
        return {n.removeprefix("observed."): v for n, v in self.ingredients.items() if n.startswith("observed.")}


def perform(run: Run, place: str, calls: Sequence[Call]) -> list[Artifact]:
    """The artifacts of a stage's calls, in their order, reused or made. Raises what a body raises."""
    showing = Showing(run, place, calls[0].decision.key, flat_parameters({"config": stable(calls[0].config, place)}))
    by_place = {call.decision.place: call for call in calls}
    due = [call for call in calls if call.decision.action == "run"]
    at_once = max(1, min(run.resources.cores, len(due)))
    resources = run.resources if at_once == 1 else run.resources.shared(at_once)
    turns = BoundedSemaphore(at_once)
    executed: set[str] = set()
    halted = Event()

    @task(
        name=place,
        task_run_name="{place}",
        cache_policy=StageKey(),
        persist_result=True,
        result_storage=run.home / "prefect-results",
        result_serializer=VerifiedRecord(),
    )
    def carry_out(place: str, key: str) -> Artifact:
        call = by_place[place]
        decision = call.decision
        with turns, run.store.lock(key, lambda: say(f"{place}: another run is making this; waiting for it")):
            if halted.is_set():
                raise Halted(f"{place} was not begun, since the run is ending")
            found, _, _ = settled(run.store, decision.stage, key, verify=decision.damaged is not None, label=call.label)
            if isinstance(found, Artifact) and (not decision.refresh or found.origin.created > run.started):
                return found
            if isinstance(found, Damaged):
                aside, what = run.store.quarantine(found), f"{found.location} was damaged ({'; '.join(found.problems)})"
                say(f"{place}: {what}; it was put aside in {aside} and is made again")
            executed.add(place)
            return execute(run, call, resources, showing)

    anew = carry_out.with_options(refresh_cache=True)
    made: dict[str, Artifact] = {}
    futures: Sequence[PrefectFuture[Artifact]] = ()
    try:
        for call in calls:
            if call not in due:
                made[call.decision.place] = carry_out(call.decision.place, call.decision.key)
        if len(due) == 1:
            made[due[0].decision.place] = anew(due[0].decision.place, due[0].decision.key)
        elif due:
            futures = anew.map([call.decision.place for call in due], [call.decision.key for call in due])
            made |= {call.decision.place: future.result() for call, future in zip(due, futures, strict=True)}
    except BaseException as error:
        # Shards at work come to their end and are kept; those that wait for a turn don't begin.
        halted.set()
        for future in futures:
            future.wait()
        showing.failed(error)
        raise
    artifacts = {call.decision.place: made[call.decision.place] for call in calls}
    model_id = next(iter(artifacts.values())).origin.mlflow_model_id or _model_told_of(calls[0])
    showing.done(artifacts, executed, {call.decision.place: call.decision for call in calls}, model_id)
    return list(artifacts.values())


def execute(run: Run, call: Call, resources: Resources, showing: Showing) -> Artifact:
    """Run a stage's body and commit what it wrote."""
    place = call.decision.place
    say(f"{place}: runs because {'; '.join(call.decision.causes[:3]) or 'its artifact is gone'}")
    watch = Stopwatch()
    try:
        artifact = _make(run, call, resources, showing, watch)
    finally:
        watch.stop()
    say(f"{place}: done in {clock(artifact.cost.wall_seconds)}, {artifact.name}")
    return artifact


def _model_told_of(call: Call) -> str:
    """The LoggedModel among a call's inputs, such as the one an evaluation measures, or ""."""
    given = (value.artifact if isinstance(value, Part) else value for value in call.inputs.values())
    return next((a.origin.mlflow_model_id for a in given if isinstance(a, Artifact) and a.origin.mlflow_model_id), "")


def _make(run: Run, call: Call, resources: Resources, showing: Showing, watch: Stopwatch) -> Artifact:
    place, stage, key = call.decision.place, call.decision.stage, call.decision.key
    if edited := call.edited():
        raise SourceEdited(
            f"{place}: {', '.join(edited)} changed on disk since this run began, so its key would tell of other code than what runs now. "
            "Start the run again."
        )
    run_id = showing.begun()
    base = run.store.scratch(f"{stage}-{key[:16]}")
    work = _workspace(run, call, base, resources, showing, watch)
    metrics = call.body(call.config, work, **{name: _local(run, value) for name, value in call.inputs.items()})
    files = list_files(work.output)
    digest, location = content_digest(files), run.store.place(stage, call.label, key)
    model_id, outage = "", None
    if call.is_model and run.tracker is not None:
        parameters = flat_parameters({"config": stable(call.config, place)})
        try:
            model_id = run.tracker.create_model(place, run_id, {"folio.digest": digest, "folio.location": location}, parameters)
            run.tracker.finish_model(model_id, run_id, model_files(work.output))
        except TrackingError as error:
            # A long training is not thrown away for that: it is committed, and then the run stops.
            outage = error
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
        inputs={name: item.reference() for name, item in call.given().items()},
        metrics={name: float(value) for name, value in sorted(metrics.items())},
        cost=watch.stop(),
        origin=origin(run_id, model_id),
    )
    run.store.commit(work.output, artifact)
    shutil.rmtree(base)
    if outage is not None:
        raise outage
    return artifact


def _local(run: Run, value: Given | Shards) -> Path | list[Path]:
    if isinstance(value, Shards):
        return [run.store.local(item) for item in value.items if not isinstance(item, Pending)]
    if isinstance(value, Pending):
        raise RuntimeError(f"{value.place} has no artifact yet; a stage can't work on it.")
    return run.store.local(value)


def _workspace(run: Run, call: Call, base: Path, resources: Resources, showing: Showing, watch: Stopwatch) -> Workspace:
    output, scratch, resume = base / "output", base / "scratch", base / "resume"
    for path in (output, scratch):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
    resume.mkdir(exist_ok=True)
    return Workspace(
        output=output,
        scratch=scratch,
        resume=resume,
        root=run.root,
        cache=run.home / "cache",
        resources=resources,
        meter=Meter(call.decision.place),
        digests=call.digests(),
        observed=call.observed(),
        shard=call.shard,
        series=showing.series,
        uses=watch.use,
    )
