"""The journal of runs: one JSON object per run, in the store itself, so no server is needed to see what ran, why, and its result.

Next to a run's record, `<id>.json`, are what MLflow was told, `<id>.mlflow.json`, and until that is complete, `<id>.untold`.
A record is written atomically. A run that is `running` holds a lock for its whole life, so a run whose process died can be
recognized (`alive`): at once on a disk, within the time of a lease on an object store. An unreadable record is skipped with a warning that
names it. Listing costs about 0.2 ms a record; MLflow and Prefect are never asked.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import groupby, islice

from pydantic import ValidationError

from tasks.stage.store.run_record import ExportRecord, PositionRecord, RegisteredModel, RunRecord, StageRecord, Status, recipe_names
from tasks.stage.store.store import Store, StoreError
from tasks.stage.system.command_line import did_you_mean
from tasks.stage.system.leases import is_leased, keep_alive
from tasks.stage.system.locks import is_locked, local_lock
from tasks.stage.system.progress import log

__all__ = ["RUNS", "ExportRecord", "Journal", "PositionRecord", "RegisteredModel", "RunRecord", "StageRecord", "Status", "new_id"]

RUNS = ".runs"
EXPORT, OWED = ".mlflow.json", ".untold"
READERS = 16
SECOND = len("20261125T130501")


def new_id(started: str) -> str:
    """Make an id for a run that started at an ISO 8601 time: ids sort by time."""
    return f"{datetime.fromisoformat(started).astimezone(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


class Journal:
    """The journal of the runs of a store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.folder = f"{store.root}/{RUNS}"

    def write(self, record: RunRecord) -> None:
        """Write a record, replacing its earlier state. Raises StoreError naming the run."""
        content = record.model_dump_json(indent=1).encode()
        self.store.put(f"{RUNS}/{record.id}.json", content, f"the record of run {record.id}")

    @contextmanager
    def running(self, record: RunRecord) -> Iterator[None]:
        """Hold the lock of a run for the block; the lock is taken before its record can be seen."""
        if self.store.local_root is None:
            with keep_alive(self.store.fs, f"{self.folder}/{record.id}.lock", self.store.lease_seconds):
                self.write(record)
                yield
            return
        path = self.store.local_root / RUNS / f"{record.id}.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        except OSError as error:
            raise StoreError(f"store: {self.store.url} can't write the lock of run {record.id} ({error}). Make it writable.") from error
        with local_lock(path, lambda: None):
            try:
                self.write(record)
                yield
            finally:
                # A run that could not record its end leaves its lock file for the next run to find.
                if not self._is_recorded_running(record):
                    path.unlink(missing_ok=True)

    def alive(self, record: RunRecord) -> bool:
        """Return whether the process of a run is alive; False for every run that has ended, however it did."""
        if record.status != "running":
            return False
        if self.store.local_root is None:
            return is_leased(self.store.fs, f"{self.folder}/{record.id}.lock")
        return is_locked(self.store.local_root / RUNS / f"{record.id}.lock")

    def _is_recorded_running(self, record: RunRecord) -> bool:
        return any(found.status == "running" for found in self._read([record.id]))

    def dead(self) -> list[str]:
        """Return the ids of runs that died without recording an end. Reads only records that have a lock."""
        self.store.fs.invalidate_cache()
        locks = (str(path).rsplit("/", 1)[-1] for path in self.store.fs.glob(f"{self.folder}/*.lock"))
        locked = [name.removesuffix(".lock") for name in locks]
        dead = [record for record in self._read(set(locked) & set(self._ids())) if record.status == "running" and not self.alive(record)]
        # A run that ended meanwhile recorded its end before it released its lock.
        return sorted(record.id for record in self._read(record.id for record in dead) if record.status == "running")

    def release(self, record: RunRecord) -> None:
        """Delete the lock that a dead run has left."""
        lock = f"{self.folder}/{record.id}.lock"
        if self.store.fs.exists(lock):
            self.store.fs.rm_file(lock)

    def exported(self, run_id: str) -> ExportRecord | None:
        """Return what MLflow was told of a run; None when it was told nothing."""
        content = self.store.get(f"{RUNS}/{run_id}{EXPORT}")
        return ExportRecord.model_validate_json(content) if content is not None else None

    def write_export(self, run_id: str, record: ExportRecord) -> None:
        """Record what MLflow was told of a run."""
        self.store.put(f"{RUNS}/{run_id}{EXPORT}", record.model_dump_json(indent=1).encode(), f"the export record of run {run_id}")

    def owe(self, run_id: str, servers: Iterable[str]) -> None:
        """Note more servers that have yet to be told how a run went: MLflow's database, Prefect's address."""
        self._write_owed(run_id, self._owed(run_id) | set(map(_mark, servers)))

    def owes(self, run_id: str, server: str) -> bool:
        """Return whether a server has yet to be told how a run went."""
        return _mark(server) in self._owed(run_id)

    def settle(self, run_id: str, server: str) -> None:
        """Note that a server was told how a run went."""
        owed = self._owed(run_id)
        if _mark(server) in owed:
            self._write_owed(run_id, owed - {_mark(server)})

    def _owed(self, run_id: str) -> set[str]:
        content = self.store.get(f"{RUNS}/{run_id}{OWED}")
        return set(content.decode().splitlines()) if content is not None else set()

    def _write_owed(self, run_id: str, marks: set[str]) -> None:
        if marks:
            self.store.put(f"{RUNS}/{run_id}{OWED}", "\n".join(sorted(marks)).encode(), f"a note on run {run_id}")
        elif self.store.fs.exists(path := f"{self.folder}/{run_id}{OWED}"):
            self.store.fs.rm_file(path)

    def owing(self) -> list[str]:
        """Return the ids of ended runs that some server has not been told about, oldest first."""
        names = set(self.store.names(RUNS))
        return sorted(run_id for run_id in (n.removesuffix(OWED) for n in names if n.endswith(OWED)) if f"{run_id}.lock" not in names)

    def records(self) -> list[RunRecord]:
        """Return every run, newest first."""
        return sorted(self._read(self._ids()), key=_start_order, reverse=True)

    def newest(self) -> Iterator[RunRecord]:
        """Yield the runs, newest first; reads records lazily."""
        ids = self._ids()
        for start in range(0, len(ids), READERS):
            yield from self._read(ids[start : start + READERS])

    def some(self, ids: Iterable[str]) -> Iterator[RunRecord]:
        """Yield the records of some runs in their order, without looking for others; one that is missing or unreadable is skipped."""
        yield from self._read(ids)

    def latest(self, recipe: str) -> RunRecord | None:
        """Return the newest run of a recipe, however it ended; reads no older ones."""
        for _, ids in groupby(self._ids(), key=lambda run_id: run_id[:SECOND]):
            found = [record for record in self._read(ids) if record.recipe == recipe]
            if found:
                return max(found, key=_start_order)
        return None

    def latest_positions(self, recipe: str) -> dict[str, PositionRecord]:
        """The newest artifacts of a recipe at each place: a run that ended early leaves its later places to the runs before it."""
        found: dict[str, PositionRecord] = {}
        for run_id in self._ids():
            for record in self._read([run_id]):
                if record.recipe == recipe:
                    found = record.positions | found
                    if record.status == "finished":
                        return found
        return found

    def get(self, text: str) -> RunRecord:
        """Return the run that `find` finds. Raises LookupError naming `text` when there is none."""
        found = self.find(text)
        if found is None:
            known = list(dict.fromkeys(record.recipe for record in self.records()))
            hint = did_you_mean(text, known) or (f"; these recipes ran: {', '.join(known)}." if known else ", nor any other.")
            raise LookupError(
                f"{self.store.url} has no run {text!r}{hint} Give a run's id or the beginning of it, its MLflow or flow run id, "
                "or a recipe, such as universe for its newest run or universe~1 for the one before."
            )
        return found

    def read(self, run_id: str) -> RunRecord | None:
        """Return the current record of a run; None if it is missing or unreadable."""
        return next(self._read([run_id]), None) if run_id in self._ids() else None

    def find(self, text: str) -> RunRecord | None:
        """Return the run with this id, unambiguous beginning of an id, MLflow or flow run id, or recipe; None when there is none.

        A recipe is named as it calls itself or by the path of its file: `name` is its newest run and `name~1` the one before. Raises
        LookupError with the candidates when several ids begin so.
        """
        if not text:
            return None
        recipe, back, number = text.partition("~")
        if back and number.isdigit():
            names = recipe_names(recipe)
            return next(islice((record for record in self.records() if record.is_of(names)), int(number), None), None)
        ids = [run_id for run_id in self._ids() if run_id.startswith(text)]
        if text in ids:
            ids = [text]
        if len(ids) > 1:
            more = f" and {len(ids) - 6} more" if len(ids) > 6 else ""
            raise LookupError(f"{text!r} begins the ids of {len(ids)} runs: {', '.join(ids[:6])}{more}. Give more of the id.")
        if ids:
            return next(iter(self._read(ids)), None)
        names = recipe_names(text)
        return next((r for r in self.records() if r.is_of(names) or text in (r.mlflow_run_id, r.flow_run_id)), None)

    def _ids(self) -> list[str]:
        """Return the ids of runs, newest second first."""
        names = (name.removesuffix(".json") for name in self.store.names(RUNS) if name.endswith(".json"))
        return sorted((name for name in names if "." not in name), reverse=True)

    def _read(self, ids: Iterable[str]) -> Iterator[RunRecord]:
        def content(run_id: str) -> tuple[bytes, ExportRecord | None] | Exception:
            try:
                return bytes(self.store.fs.cat_file(f"{self.folder}/{run_id}.json")), self.exported(run_id)
            except (OSError, ValidationError) as error:
                return error

        wanted = list(ids)
        # An object store takes a while to answer, so several requests are sent at once.
        with ThreadPoolExecutor(1 if self.store.local_root is not None else READERS) as readers:
            for run_id, found in zip(wanted, readers.map(content, wanted), strict=True):
                try:
                    if isinstance(found, Exception):
                        raise found
                    yield _as_exported(RunRecord.model_validate_json(found[0]), found[1])
                except (ValidationError, OSError) as error:
                    log(f"the record of run {run_id} in {self.folder} can't be read ({type(error).__name__}) and is skipped")


def _as_exported(record: RunRecord, export: ExportRecord | None) -> RunRecord:
    """Add to a record what MLflow calls the run and the versions of its models."""
    if export is None:
        return record
    named = tuple(model.model_copy(update={"version": export.versions.get(model.digest, model.version)}) for model in record.registered)
    return record.model_copy(update={"mlflow_run_id": export.mlflow_run_id or record.mlflow_run_id, "registered": named})


def _mark(server: str) -> str:
    """Identify a server without its address, which may hold a password."""
    return hashlib.sha256(server.encode()).hexdigest()


def _start_order(record: RunRecord) -> tuple[str, str]:
    return record.started, record.id
