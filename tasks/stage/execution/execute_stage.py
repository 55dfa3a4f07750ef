"""Execute one call of a stage: run its body in a fresh process and a workspace, and commit what it wrote.

A body that raises commits nothing. Work in progress of a killed stage stays under `.staging/<stage>-<key>/`, where the next owner of the
key's lock takes it over (`WorkFolder`), and is deleted when the artifact is committed. Nothing here depends on a run, so it works in any
process that sees the same paths.
"""

from __future__ import annotations

import socket
from pathlib import Path

from tasks.stage.execution.bodies.run_body import BodyCall, Listener, run_body
from tasks.stage.execution.job import JobContext, Reporter, WorkerMismatch
from tasks.stage.execution.resources import Resources
from tasks.stage.execution.stage_call import StageCall
from tasks.stage.execution.work_folder import WorkFolder
from tasks.stage.identity.key import compute_address, stable
from tasks.stage.identity.tracing.libraries import installed
from tasks.stage.identity.tracing.trace import Trace
from tasks.stage.store.artifact import Artifact, ArtifactPart, PendingArtifact, ShardedArtifact, StageInput, content_digest, list_files
from tasks.stage.store.origin import origin
from tasks.stage.store.store import Store
from tasks.stage.store.traces import age_of
from tasks.stage.system.locks import LeaseLost, Lock
from tasks.stage.system.progress import ProgressMeter
from tasks.stage.tracking.cost import Stopwatch


def execute_stage(
    context: JobContext, call: StageCall, resources: Resources, reporter: Reporter, lock: Lock, instead_of: Artifact | None
) -> Artifact:
    """Run a stage's body and commit what it wrote; return what is committed, which is another run's if that came first.

    `lock`: the right to execute the key; `instead_of`: what a refresh replaces. Raises what the body raises, LeaseLost once the lock is
    lost, and WorkerMismatch if the body loaded other libraries here.
    """
    watch, position = Stopwatch(), call.decision.position
    try:
        if call.judges:
            _read_again(context.store, call)
        reporter.start()
        work = WorkFolder(work_base(context.store, call), position, context.traces, lock)
        try:
            artifact = _execute(context, call, resources, reporter, watch, work, lock)
            there = context.store.index.read(artifact.location)
            # What another folio made is not reused, so it gives way to what this one makes.
            replaced = there if instead_of is None and age_of(context.store, there) else instead_of
            committed = context.store.commit(work.folder / "output", artifact, lock, replaced)
        except BaseException:
            # `run_body` has ended all that worked in it.
            work.leave()
            raise
        work.delete()
        return committed
    except Exception as error:
        # A successor has taken the work folder, so the body may fail of anything.
        if isinstance(error, LeaseLost) or lock.seems_held():
            raise
        raise LeaseLost(f"{position}: {error}") from error
    finally:
        watch.stop()


def work_base(store: Store, call: StageCall) -> Path:
    """Return the folder of all work for a call's key."""
    return store.scratch(f"{call.decision.stage}-{call.decision.key[:16]}")


def _execute(
    context: JobContext, call: StageCall, resources: Resources, reporter: Reporter, watch: Stopwatch, work: WorkFolder, lock: Lock
) -> Artifact:
    """Run the body in its work folder; return the record of what it wrote."""
    position, stage, key = call.decision.position, call.decision.stage, call.decision.key
    body = _body_call(context, call, work.folder, resources)
    meter = ProgressMeter(position, on_terminal=reporter.on_terminal)
    executed = run_body(body, Listener(meter, reporter.series, watch.use, lock))
    watch.add(executed.cpu_seconds)
    output, metrics = body.folders["output"], executed.metrics
    trace, marks = context.traces.save(work.all_marks(executed.marks))
    _require_same_libraries(context, position, trace)
    files, address = list_files(output), compute_address(key, trace.hash)
    stored = stable(call.config, position)
    return Artifact(
        stage=stage,
        label=call.label,
        key=key,
        address=address,
        trace=trace.hash,
        marks=marks,
        digest=content_digest(files),
        location=context.store.location_of(stage, call.label, address),
        files=files,
        config=stored if isinstance(stored, dict) else {},
        ingredients=dict(call.ingredients),
        inputs={name: item.reference() for name, item in call.given().items()},
        metrics={name: float(value) for name, value in sorted(metrics.items())},
        cost=watch.stop(),
        origin=origin(context.run_id),
    )


def _read_again(store: Store, call: StageCall) -> None:
    """Raise StoreError for an input that is not what its record says."""
    for given in call.given().values():
        artifact = given.artifact if isinstance(given, ArtifactPart) else given
        for file in given.files:
            store.read(artifact, file.path)


def _require_same_libraries(context: JobContext, position: str, trace: Trace) -> None:
    """Raise WorkerMismatch if the body has loaded a library in another version than the run's process has installed."""
    here, wanted = installed(context.traces.cache).versions, context.packages
    loaded = [name for kind, _, name in (entry.partition(" ") for entry in trace.entries) if kind == "library" and name in here]
    if strange := [f"{name} {here[name]} instead of {wanted.get(name, 'none')}" for name in loaded if here[name] != wanted.get(name)]:
        raise WorkerMismatch(f"{position}: the worker on {socket.gethostname()} has {', '.join(strange)}; install the same versions there.")


def _local(store: Store, value: StageInput | ShardedArtifact) -> Path | list[Path]:
    if isinstance(value, ShardedArtifact):
        return [store.local(item) for item in value.items if not isinstance(item, PendingArtifact)]
    if isinstance(value, PendingArtifact):
        raise RuntimeError(f"{value.position} has no artifact yet; a stage can't work on it.")
    return store.local(value)


def _body_call(context: JobContext, call: StageCall, base: Path, resources: Resources) -> BodyCall:
    folders = {name: base / name for name in ("output", "scratch", "resume")}
    return BodyCall(
        position=call.decision.position,
        snapshot=context.snapshot,
        marks=base / "marks",
        body=call.body,
        config=call.config,
        inputs={name: _local(context.store, value) for name, value in call.inputs.items()},
        folders={**folders, "root": context.root, "cache": context.home / "cache"},
        resources=resources,
        digests=call.digests(),
        observed=call.observed(),
        shard=call.shard,
    )
