"""Open and close a run: its store, journal, exporter and final messages.

A run that raises is closed as failed, one that was interrupted as stopped, in the journal and in MLflow, and the error is raised on. While
planning, nothing is opened for writing and nothing is recorded. The repository's source is frozen when the run opens, so an edit made
meanwhile changes nothing of it. While a run is open its store is in use, so that none of it is deleted as garbage.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from prefect.runtime import flow_run

from tasks.stage.execution.resources import Resources
from tasks.stage.execution.run import PipelineRun, RunStopped, current_options, use_run
from tasks.stage.execution.trace_check import TraceChecker
from tasks.stage.execution.worker_pool import WorkerPool
from tasks.stage.identity.digests import DigestCache
from tasks.stage.identity.tracing.source import ROOT, Source
from tasks.stage.recovery.watchdog import sweep_dead_runs, watched
from tasks.stage.store.journal import Journal, RunRecord, Status, new_id
from tasks.stage.store.origin import git_state, now
from tasks.stage.store.store import Store
from tasks.stage.system.interrupts import interrupts_recorded
from tasks.stage.system.progress import log
from tasks.stage.tracking.cost import Rates, total_cost
from tasks.stage.tracking.exporter_process import ExporterProcess
from tasks.stage.tracking.mlflow_exporter import flatten_parameters

ROOMS = ("flows", "tasks", "data", "model")
MLFLOW = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}


def resolve(url: str, root: Path) -> str:
    """Resolve a store or database given by a path against the recipe's root; return a URL as it is."""
    if url.startswith("sqlite:///") and not url.startswith("sqlite:////"):
        return f"sqlite:///{(root / url.removeprefix('sqlite:///')).resolve()}"
    return url if "://" in url else str((root / url).resolve())


def open_store(url: str, root: Path, home: Path) -> Store:
    """Open the store at a URL, or at a path relative to `root`; remote artifacts are cached in `home`."""
    return Store(resolve(url, root), home / "cache" / "artifacts", DigestCache(home / "cache" / "digests.db"))


@contextmanager
def open_run(
    *,
    name: str,
    root: Path,
    home: Path,
    store: str,
    tracking: str,
    resources: Resources,
    parameters: Mapping[str, object],
    code: Path = ROOT,
) -> Iterator[PipelineRun]:
    """Make a run current for the block.

    `parameters`: the whole recipe as plain data, for the journal and MLflow; `code`: the repository whose code is executed.
    """
    logging.getLogger("folio").setLevel(logging.INFO)
    options = current_options()
    opened = open_store(store, root, home)
    journal = Journal(opened)
    record = new_run_record(name, parameters)
    rates = Rates.model_validate(parameters.get("rates", {}))
    pool = WorkerPool(resources, home, opened)
    traces = TraceChecker(opened, _source(code, home, opened, planning=options.planning), home / "cache" / "traces")
    run = PipelineRun(name, root, home, opened, resources, pool, options, None, record, traces, rates, journal.latest_positions(name))
    if options.planning:
        with use_run(run):
            yield run
        return
    database = resolve(tracking, root) if tracking else ""
    sweep_dead_runs(journal, database)
    # In this order, since `folio gc` on an object store sees a run only by its lease.
    with interrupts_recorded(), watched(opened, record, database), journal.running(record), opened.in_use(), pool:
        if database:
            run.exporter = ExporterProcess(database, name, home, opened.url)
            tags = {
                "mlflow.source.git.commit": record.git_commit,
                "folio.git_dirty": str(record.git_dirty),
                "folio.recipe": name,
                "folio.run": record.id,
            }
            run.exporter.start(name, flatten_parameters(parameters), tags)
        try:
            with use_run(run):
                yield run
        except BaseException as error:
            _close_failed(run, error)
            raise
        _close(run, "finished", "")


def _source(code: Path, home: Path, store: Store, *, planning: bool) -> Source:
    """Return the repository's source; for a run frozen, so that an edit made meanwhile changes nothing of it."""
    exclude = [home, *([store.local_root] if store.local_root else [])]
    return Source.of(code, exclude=exclude) if planning else Source.snapshot(code, home / "cache" / "source", exclude=exclude)


def new_run_record(name: str, parameters: Mapping[str, object]) -> RunRecord:
    """Return the record of a run that begins now."""
    commit, dirty = git_state()
    started = now()
    return RunRecord(
        id=new_id(started),
        recipe=name,
        status="running",
        started=started,
        host=socket.gethostname(),
        pid=os.getpid(),
        git_commit=commit,
        git_dirty=dirty,
        configuration=dict(parameters),
        flow_run_id=str(flow_run.id or ""),
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
    elif type(error).__module__.partition(".")[0] not in ROOMS and run.decisions:
        # An error from a library doesn't say which stage it happened in.
        error.add_note(f"It happened in {run.decisions[-1].position.partition('[')[0]}")
    try:
        _close(run, status, message)
    except Exception as other:  # noqa: BLE001  # whatever it is, the error that ended the run matters more
        error.add_note(str(other))


def _stop_message(run: PipelineRun, error: BaseException) -> str:
    if not run.decisions:
        return "stopped before the first stage"
    last = run.decisions[-1].position
    kept = "".join(f", {note}" for note in getattr(error, "__notes__", ()))
    return f"stopped after {last}{kept}" if last in run.artifacts else f"{last.partition('[')[0]} was stopped{kept}"


def _close(run: PipelineRun, status: Status, error: str) -> None:
    changes: dict[str, str] = {"status": status, "ended": now(), "error": error}
    try:
        if run.exporter is not None:
            tags = {
                "folio.reused": ", ".join(sorted(run.reused)),
                "folio.executed": ", ".join(sorted(set(run.artifacts) - run.reused)),
            }
            reason = {"folio.stopped" if status == "stopped" else "folio.error": error} if error else {}
            whole = total_cost(run.artifacts.values())
            money = run.rates.price(whole)
            spent = whole.model_dump() | ({} if money is None else {"money": money})
            metrics = {f"cost.total.{name}": value for name, value in spent.items()}
            closed = run.exporter.finish(status=MLFLOW[status], tags=tags | reason, metrics=metrics, artifacts=run.artifacts)
            changes["mlflow_run_id"], run.registered = closed
            for model in run.registered:
                standing = f"is {model.alias}" if model.alias else "is not champion, since its gate was overruled"
                log(f"register: {model.name} version {model.version} {standing}")
    finally:
        run.save(**changes)
