"""Execute one call of a stage: run its body in a fresh process and a workspace, and commit what it wrote.

A body that raises commits nothing. Work in progress of a killed stage stays under `.staging/<stage>-<key>/resume`, where the same key
finds it again, and is deleted when the artifact is committed. Nothing here depends on a run, so it works in any process that sees the same
paths.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tasks.stage.execution.job import JobContext, Reporter
from tasks.stage.execution.resources import Resources
from tasks.stage.execution.run_body import BodyCall, Listener, run_body
from tasks.stage.execution.stage_call import StageCall
from tasks.stage.identity.key import stable
from tasks.stage.store.artifact import Artifact, PendingArtifact, ShardedArtifact, StageInput, content_digest, list_files
from tasks.stage.store.origin import origin
from tasks.stage.store.store import Store
from tasks.stage.system.progress import ProgressMeter
from tasks.stage.tracking.cost import Stopwatch


class SourceEdited(RuntimeError):
    """The code of a stage has changed since its key was computed."""


def execute_stage(context: JobContext, call: StageCall, resources: Resources, reporter: Reporter) -> Artifact:
    """Run a stage's body and commit what it wrote. Raises SourceEdited before anything is made, and what the body raises."""
    watch = Stopwatch()
    try:
        return _execute(context, call, resources, reporter, watch)
    finally:
        watch.stop()


def _execute(context: JobContext, call: StageCall, resources: Resources, reporter: Reporter, watch: Stopwatch) -> Artifact:
    position, stage, key = call.decision.position, call.decision.stage, call.decision.key
    if edited := call.edited(seen=call.of_kind("code")):
        raise SourceEdited(
            f"{position}: {', '.join(edited)} changed on disk since this run began, so its key would describe other code than what runs. "
            "Start the run again."
        )
    run_id = reporter.start()
    base = context.store.scratch(f"{stage}-{key[:16]}")
    body = _body_call(context, call, base, resources)
    meter = ProgressMeter(position, on_terminal=reporter.on_terminal)
    executed = run_body(body, Listener(meter, reporter.series, watch.use))
    watch.add(executed.cpu_seconds)
    output, metrics = body.folders["output"], executed.metrics
    files = list_files(output)
    digest, location = content_digest(files), context.store.location_of(stage, call.label, key)
    model_id, outage = reporter.model(call, digest, location, output) if call.is_model else ("", None)
    stored = stable(call.config, position)
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
    context.store.commit(output, artifact)
    shutil.rmtree(base)
    # Raised only now, so that an unreachable database does not cost a finished artifact.
    if outage is not None:
        raise outage
    return artifact


def _local(store: Store, value: StageInput | ShardedArtifact) -> Path | list[Path]:
    if isinstance(value, ShardedArtifact):
        return [store.local(item) for item in value.items if not isinstance(item, PendingArtifact)]
    if isinstance(value, PendingArtifact):
        raise RuntimeError(f"{value.position} has no artifact yet; a stage can't work on it.")
    return store.local(value)


def _body_call(context: JobContext, call: StageCall, base: Path, resources: Resources) -> BodyCall:
    output, scratch, resume, marks = (base / name for name in ("output", "scratch", "resume", "marks"))
    for path in (output, scratch, marks):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
    resume.mkdir(exist_ok=True)
    return BodyCall(
        position=call.decision.position,
        snapshot=context.snapshot,
        marks=marks,
        body=call.body,
        config=call.config,
        inputs={name: _local(context.store, value) for name, value in call.inputs.items()},
        folders={"output": output, "scratch": scratch, "resume": resume, "root": context.root, "cache": context.home / "cache"},
        resources=resources,
        digests=call.digests(),
        observed=call.observed(),
        shard=call.shard,
    )
