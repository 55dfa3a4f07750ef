"""Open and close a run: its store, journal, follower and final messages.

A run that raises is closed as failed, an interrupted one as stopped, and the error is re-raised. A run writes only its journal;
its follower tells MLflow. While planning, nothing is opened for writing and nothing is recorded. The repository's source is frozen when
the run opens, so edits during the run have no effect. While a run is open its store is in use, so nothing in it is deleted as
garbage.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tasks.stage.execution.live_runs import attended, file_logger
from tasks.stage.execution.resources import Resources
from tasks.stage.execution.run import PipelineRun, RunStopped, current_options, use_run
from tasks.stage.execution.trace_check import TraceChecker
from tasks.stage.execution.worker_pool import WorkerPool
from tasks.stage.identity.key import flatten
from tasks.stage.identity.tracing.source import LIBRARY, Project, Source
from tasks.stage.recovery.dead_runs import Servers
from tasks.stage.recovery.follower import followed, settle_earlier_runs
from tasks.stage.store.artifact import without_shard
from tasks.stage.store.journal import Journal, RunRecord, Status, new_id
from tasks.stage.store.old_artifacts import old_lines, old_of_last_run
from tasks.stage.store.origin import LIBRARY_FOLDER, git_state, now
from tasks.stage.store.store import Store, open_store, resolve
from tasks.stage.system.interrupts import raise_if_interrupted
from tasks.stage.system.process_identity import ProcessIdentity
from tasks.stage.system.progress import log
from tasks.stage.tracking.cost import Rates
from tasks.stage.tracking.export import wait_until_exported

EXPORT_SECONDS = 20.0
BUSY, BUSY_SECONDS = 503, 60.0
SOONEST, LATEST = 0.05, 0.5
"""Seconds until the next try."""
Result = TypeVar("Result")


@contextmanager
def open_run(
    *,
    project: Project,
    name: str,
    root: Path,
    home: Path,
    store: str,
    tracking: str,
    resources: Resources,
    parameters: Mapping[str, object],
    differences: Mapping[str, object] | None = None,
) -> Iterator[PipelineRun]:
    """Make a run current for the block.

    `project`: the repository whose code is executed; `parameters`: the whole recipe as plain data; `differences`: what of it is no default,
    which MLflow shows, or else all of it.
    """
    logging.getLogger("folio").setLevel(logging.INFO)
    options = current_options()
    opened = open_store(store, root, home)
    journal = Journal(opened)
    record = new_run_record(name, parameters, parameters if differences is None else differences, project.root)
    rates = Rates.model_validate(parameters.get("rates", {}))
    pool = WorkerPool(resources, home, opened)
    traces = TraceChecker(opened, _source(project, home, opened, planning=options.planning), home / "cache" / "traces")
    before = journal.latest_positions(name)
    run = PipelineRun(name, root, home, opened, resources, pool, options, record, traces, rates=rates, before=before)
    if options.planning:
        with use_run(run):
            yield run
        return
    # A plan needs nothing of Prefect.
    from prefect.runtime import flow_run
    from prefect.settings import PREFECT_API_URL

    run.note(flow_run_id=str(flow_run.id or ""))
    record = run.record
    servers = Servers(mlflow=resolve(tracking, root) if tracking else "", prefect=PREFECT_API_URL.value() or "", home=home)
    settle_earlier_runs(journal, servers)
    run.tracked = bool(tracking)
    # In this order, since `folio gc` on an object store sees a run only by its lease.
    with (
        attended(home, record, opened),
        followed(opened, record, servers) as run.notify,
        journal.running(record),
        opened.in_use(),
        pool,
    ):
        journal.owe(record.id, servers.of(record))
        options.runs.append(run)
        for line in old_lines(old_of_last_run(opened, before)):
            log(line)
        try:
            with use_run(run):
                yield run
                raise_if_interrupted()
        except BaseException as error:
            _close_failed(run, error)
            raise
        _close(run, "finished", "")


def _source(project: Project, home: Path, store: Store, *, planning: bool) -> Source:
    """Return the repository's source, frozen, so edits meanwhile have no effect; for a run, whose bodies read it, on disk."""
    exclude = [home, *([store.local_root] if store.local_root else [])]
    return Source.frozen(project, exclude=exclude) if planning else Source.snapshot(project, home / "cache" / "source", exclude=exclude)


def new_run_record(
    name: str, parameters: Mapping[str, object], differences: Mapping[str, object], code: Path = LIBRARY_FOLDER
) -> RunRecord:
    """Return the record of a run that begins now. `code`: a folder of the checkout that it is of."""
    commit, dirty = git_state(code)
    started, process = now(), ProcessIdentity.this()
    return RunRecord(
        id=new_id(started),
        recipe=name,
        argument=current_options().argument,
        status="running",
        started=started,
        host=process.host,
        pid=process.pid,
        process=str(process),
        git_commit=commit,
        git_dirty=dirty,
        configuration=dict(parameters),
        differences={name: text for path, value in differences.items() for name, text in flatten(value, path).items()},
    )


def _close_failed(run: PipelineRun, error: BaseException) -> None:
    """Close a run that ended by an error; problems while closing become a note on the error, which matters more."""
    status: Status = "failed"
    message = " ".join(f"{type(error).__name__}: {error}".split())[:500]
    if isinstance(error, RunStopped):
        status, message = "stopped", str(error)
    elif not isinstance(error, Exception):
        # The run was asked to end: Ctrl-C, Prefect's termination or suspension, an exit.
        status, message = "stopped", _stop_message(run, error)
        log(f"{message}; run the same command again to continue")
    elif type(error).__module__.partition(".")[0] not in _packages(run) and run.decisions:
        # An error from a library doesn't say which stage it happened in.
        error.add_note(f"It happened in {without_shard(run.decisions[-1].position)}")
    if isinstance(error, Exception):
        file_logger.info("%s", message)  # the terminal shows it once the run has ended
    try:
        _close(run, status, message)
    except Exception as other:  # noqa: BLE001  # the error that ended the run matters more than any raised here
        error.add_note(str(other))


def _packages(run: PipelineRun) -> set[str]:
    """Return the top-level packages whose errors say themselves where they happened."""
    return {LIBRARY.partition("/")[0], *run.traces.source.project.packages}


def _stop_message(run: PipelineRun, error: BaseException) -> str:
    if not run.decisions:
        return "stopped before the first stage"
    last = run.decisions[-1].position
    kept = "".join(f", {note}" for note in getattr(error, "__notes__", ()))
    return f"stopped after {last}{kept}" if last in run.artifacts else f"{without_shard(last)} was stopped{kept}"


def _close(run: PipelineRun, status: Status, error: str) -> None:
    run.save(status=status, ended=now(), error=error)
    if status == "finished" and run.tracked and set(run.artifacts) - run.reused:
        _wait_for_export(run)


def _wait_for_export(run: PipelineRun) -> None:
    """Wait briefly for MLflow to show the run, so its page exists and its models have versions; this may take longer."""
    export = wait_until_exported(Journal(run.store), run.record.id, EXPORT_SECONDS)
    if export is None or not export.complete:
        why = f": {export.problem}" if export and export.problem else ""
        log(f"MLflow does not show this run yet{why}. All of it is recorded in the store; `folio sync` tells MLflow later")
        return
    for model in run.registered:
        standing = f"is {model.alias}" if model.alias else "is not champion"
        log(f"register: {model.name} version {export.versions[model.digest]} {standing}")


def begin_flow(flow: Callable[[], Result], begun: Callable[[], bool]) -> Result:
    """Return what a flow returns. `begun`: whether its body was entered, after which its errors are its own.

    Raises what the flow raises, and PrefectHTTPStatusError if the server refuses it for BUSY_SECONDS.
    """
    from prefect.exceptions import PrefectHTTPStatusError

    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return flow()
        except PrefectHTTPStatusError as error:
            if error.response.status_code != BUSY or begun() or time.monotonic() >= until:
                raise
            time.sleep(random.uniform(SOONEST, LATEST))
