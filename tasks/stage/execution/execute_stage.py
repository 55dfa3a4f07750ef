"""Execute one call of a stage: run its body in a fresh process and a work folder, and commit what it wrote.

A body that raises commits nothing. Nothing here depends on a run, so it works in any process that sees the same paths. Work in progress
stays in folders of the key, one an owner:

    .staging/<stage>-<key>/<token>/output    becomes the artifact
                                   scratch   is deleted afterwards
                                   resume    what an interrupted execution left to continue from, such as checkpoints
                                   marks     what the execution has run and read so far
                                   earlier   the marks of the executions that it continues

An owner is one taking of the key's lock. It takes over what earlier owners have left, and nothing else: it lists the folders first and
then makes sure that it holds the lock, so each folder in the list belongs to somebody who held it before. Taking over is one rename, which
one of several wins, to a name that the earlier owner doesn't know. After it, that owner's paths lead nowhere: if it was only suspended and
wakes up, it fails. What it has open still leads to the old files. Therefore they are copied (`taken-`), unless their owner has said that
all its processes have ended (`left-`), as it does whenever it isn't killed; a rename is enough then.

Interrupted work is continued only if the trace of all marks so far is the same on the source that is executed now. Otherwise it is set
aside (`aside-`), to be continued when that source comes back.
"""

from __future__ import annotations

import shutil
import socket
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from tasks.stage.execution.bodies.run_body import BodyCall, Listener, run_body
from tasks.stage.execution.job import JobContext, Reporter, StageCall, WorkerMismatch
from tasks.stage.execution.resources import Resources
from tasks.stage.execution.trace_check import TraceChecker
from tasks.stage.identity.key import compute_address, stable
from tasks.stage.identity.tracing.libraries import installed
from tasks.stage.identity.tracing.marks import Marks, MissingMarks
from tasks.stage.identity.tracing.source import Source, SourceMissing
from tasks.stage.identity.tracing.trace import Trace, differences, trace_of
from tasks.stage.store.artifact import Artifact, ArtifactPart, PendingArtifact, ShardedArtifact, StageInput, content_digest, list_files
from tasks.stage.store.origin import origin
from tasks.stage.store.store import Store
from tasks.stage.store.traces import age_of
from tasks.stage.system.atomic_files import write_atomically
from tasks.stage.system.locks import LeaseLost, Lock
from tasks.stage.system.progress import ProgressMeter, log
from tasks.stage.tracking.cost import Stopwatch

RESUME, MARKS, EARLIER = "resume", "marks", "earlier.json"
PARTS = (EARLIER, MARKS, RESUME)
"""In the order in which they are moved: the resumable part last, so a kill in between leaves no such part without its marks."""
TAKEN, LEFT, ASIDE = "taken-", "left-", "aside-"


class WorkFolder:
    """The owner's folder below `base`, ready for an execution. `earlier`: marks of the executions that it continues, if any.

    Raises LeaseLost if the lock is not held, and OSError if a successor takes the folder meanwhile.
    """

    def __init__(self, base: Path, position: str, traces: TraceChecker, lock: Lock) -> None:
        self.base, self.folder = base, base / lock.token
        self.earlier: Marks | None = None
        self._lock = lock
        self._aside: list[Path] = []
        found = sorted(base.iterdir(), key=_last_change, reverse=True)
        lock.require(position)
        self.folder.mkdir()
        for candidate in found:
            self._take_over(candidate, position, traces)
        for name in ("output", "scratch", MARKS):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            (self.folder / name).mkdir()
        (self.folder / RESUME).mkdir(exist_ok=True)
        if self.earlier is not None:
            write_atomically(self.folder / EARLIER, self.earlier.model_dump_json().encode())

    def all_marks(self, marks: Marks) -> Marks:
        """Return the marks of an execution together with those of the ones that it continued."""
        return marks if self.earlier is None else self.earlier.union(marks)

    def leave(self) -> None:
        """Leave the work to whoever comes next. Call it only when no process that works in the folder is alive."""
        # A successor may have taken it.
        with suppress(OSError):
            self.folder.rename(self.base / f"{LEFT}{self._lock.token}")

    def delete(self) -> None:
        """Delete the work, and what was set aside before it began; folders of later owners stay."""
        for folder in (self.folder, *self._aside):
            shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            self.base.rmdir()

    def _take_over(self, found: Path, position: str, traces: TraceChecker) -> None:
        """Continue earlier work, the latest of it that can be, or else set it aside; delete what is none."""
        is_left, was_aside = found.name.startswith(LEFT), found.name.startswith(ASIDE)
        work = found if was_aside else found.with_name(f"{LEFT if is_left else TAKEN}{uuid.uuid4().hex}")
        try:
            if not was_aside:
                found.rename(work)
        except FileNotFoundError:
            return
        if not _has_work(work) or (self.earlier is not None and not was_aside):
            _remove(work)
            return
        marks, problem = _continued(work, traces) if self.earlier is None else (None, "later work is continued")
        if problem:
            if not was_aside:
                work.rename(aside := self.base / f"{ASIDE}{uuid.uuid4().hex}")
                log(f"{position}: begins anew, since what was interrupted ran other code: {problem}")
                work = aside
            self._aside.append(work)
            return
        self.earlier = marks
        for name in PARTS:
            if (work / name).exists():
                _hand_over(work / name, self.folder / name, copy=not is_left)
        shutil.rmtree(work, ignore_errors=True)


def delete_left(base: Path, tokens: Iterable[str]) -> None:
    """Delete what an owner left under tokens of its own that it has lost, once somebody else's artifact is used."""
    for token in tokens:
        for name in (token, f"{LEFT}{token}"):
            shutil.rmtree(base / name, ignore_errors=True)
    with suppress(OSError):
        base.rmdir()


def _last_change(folder: Path) -> float:
    """Return when the work in a folder last changed; what was set aside comes after all that was not."""
    try:
        changed = (folder / RESUME).stat().st_mtime
    except OSError:
        return 0.0
    return changed - (1e12 if folder.name.startswith(ASIDE) else 0.0)


def _has_work(base: Path) -> bool:
    return (base / RESUME).is_dir() and any((base / RESUME).iterdir())


def _hand_over(source: Path, target: Path, *, copy: bool) -> None:
    """Move a file or folder, or copy it so that a process that has it open can't change the copy; it appears as a whole."""
    if not copy:
        source.rename(target)
        return
    partial = target.with_name(f".{target.name}")
    if source.is_dir():
        _copy_tree(source, partial)
    else:
        shutil.copy2(source, partial)
    partial.rename(target)


def _copy_tree(source: Path, target: Path) -> None:
    target.mkdir()
    for path in source.iterdir():
        # A predecessor that wakes up may go on deleting what it was deleting.
        with suppress(FileNotFoundError):
            if path.is_dir() and not path.is_symlink():
                _copy_tree(path, target / path.name)
            else:
                shutil.copy2(path, target / path.name, follow_symlinks=False)
    shutil.copystat(source, target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _continued(base: Path, traces: TraceChecker) -> tuple[Marks | None, str]:
    """Return the marks of all executions so far, and why they can't be continued; "" if they can."""
    try:
        marks = Marks.read(base / MARKS)
        if (base / EARLIER).exists():
            earlier = Marks.model_validate_json((base / EARLIER).read_bytes())
            if earlier.version != marks.version:
                raise MissingMarks(f"marks {earlier.version}, now {marks.version}")
            marks = earlier.union(marks)
        before = Source.opened(traces.manifest(marks.snapshot))
    except (MissingMarks, SourceMissing, ValidationError, OSError) as error:
        return None, f"what it ran can't be told ({error})"
    found = differences(trace_of(marks, before, cache=traces.cache), traces.of(marks))
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return marks, f"{found[0]}{more}" if found else ""


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
        origin=origin(context.run_id, context.traces.source.root),
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
        project=context.traces.source.project,
        snapshot=context.snapshot,
        marks=base / "marks",
        body=call.body,
        entry=call.entry,
        config=call.config,
        inputs={name: _local(context.store, value) for name, value in call.inputs.items()},
        folders={**folders, "root": context.root, "cache": context.home / "cache"},
        resources=resources,
        digests=call.digests(),
        observed=call.observed(),
        shard=call.shard,
    )
