"""The runs of a store as the page lists them: each record is read once, and again only if its file may have changed.

A record holds its whole recipe and every position, so reading five hundred takes about a second. A list shows a few of them, and only those
are opened. Records are replaced by renaming, which changes their folder: while it has the same times, nothing is listed or looked at again.
On an object store, which has no cheap signature, a run that has ended is kept and one that runs is read each time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from tasks.reporting.wording import number, words
from tasks.stage.store.artifact import without_shard
from tasks.stage.store.index import SETTLE_SECONDS, StatSignature, stat_signature
from tasks.stage.store.journal import RUNS, Journal, PositionRecord, RegisteredModel, RunRecord
from tasks.stage.store.store import Store

EXPORT = ".mlflow.json"
MEASURED, RELEASED, SIZES = "evaluate.", "evaluate.release.", ("parameters",)  # names of headline figures
Signature = tuple[StatSignature, ...]


@dataclass(frozen=True)
class RunEntry:
    """A run's row in a list. `stages`: names of the stages it has artifacts of; `gates`: its gates by position.

    `argument` names its recipe in a command; `approve`: the gates of its recipe that ask a person.
    """

    id: str
    recipe: str
    argument: str
    status: str
    started: str
    ended: str
    error: str
    made: int
    reused: int
    headline: Mapping[str, float]
    registered: tuple[RegisteredModel, ...]
    stages: frozenset[str]
    gates: Mapping[str, PositionRecord]
    approve: frozenset[str]
    export: str = ""

    @classmethod
    def of(cls, record: RunRecord) -> RunEntry:
        """Return a run's entry."""
        made = sum(position.action == "executed" for position in record.positions.values())
        gates = record.configuration.get("gates", {})
        exported = record.positions.get("export")
        return cls(
            record.id,
            record.recipe,
            record.argument or record.recipe,
            record.status,
            record.started,
            record.ended,
            record.error,
            made,
            len(record.positions) - made,
            record.headline,
            record.registered,
            frozenset(without_shard(name).partition(".")[0] for name in record.positions),
            {name: position for name, position in record.positions.items() if position.stage == "gate"},
            frozenset(f"gate.{name}" for name, config in gates.items() if isinstance(config, dict) and config.get("approve")),
            exported.location if exported is not None else "",
        )

    @cached_property
    def figures(self) -> str:
        """In words how large its model is, and how good the released one, or else the last that was measured."""
        measured = [name for name in self.headline if name.startswith(MEASURED)]
        released = [name for name in measured if name.startswith(RELEASED)]
        told = [*(name for name in SIZES if name in self.headline), *(released or measured[-2:])]
        shown = (told or list(self.headline))[:4]
        return ", ".join(f"{words(name.removeprefix(MEASURED)).replace('.', ' ')} {number(self.headline[name])}" for name in shown)

    @property
    def seconds(self) -> float:
        """The time that it ran, or has run so far."""
        ended = datetime.fromisoformat(self.ended) if self.ended else datetime.now(UTC)
        return (ended - datetime.fromisoformat(self.started)).total_seconds()


@dataclass(frozen=True)
class Listing:
    """The runs of a store at a moment. `folder`: how their folder was; `checked`: whose entries were compared with their files since."""

    folder: StatSignature
    ids: list[str]
    checked: set[str] = field(default_factory=set)


@dataclass
class RunIndex:
    """The runs of a store, newest first."""

    store: Store
    _known: dict[str, tuple[Signature, RunEntry]] = field(default_factory=dict)
    _listing: Listing | None = None

    @property
    def journal(self) -> Journal:
        """The journal that the entries are read from."""
        return Journal(self.store)

    def ids(self) -> list[str]:
        """Return the ids of all runs, newest second first."""
        return self._listed().ids

    def entries(self, ids: list[str]) -> list[RunEntry]:
        """Return the entries of some runs in their order; a run that can't be read is left out, and the journal logs it."""
        checked = self._listed().checked
        if unsure := [run_id for run_id in ids if run_id not in checked]:
            signed = {run_id: self._signature(run_id) for run_id in unsure}
            unread = [run_id for run_id in unsure if self._is_unread(run_id, signed[run_id])]
            for record in self.journal.some(unread):
                self._known[record.id] = signed[record.id], RunEntry.of(record)
            checked.update(unsure)
        return [self._with_end(self._known[run_id][1]) for run_id in ids if run_id in self._known]

    def _listed(self) -> Listing:
        """Return the listing of now, which is kept if the folder has not changed within the last moments."""
        if self.store.local_root is None:
            return Listing((0, 0, 0, 0), _ids(self.store.names(RUNS)))
        folder = self.store.local_root / RUNS
        started, now = time.time_ns(), _signed(folder)
        kept = self._listing
        if kept is not None and kept.folder == now:
            return kept
        try:
            with os.scandir(folder) as entries:
                found = Listing(now, _ids(entry.name for entry in entries))
        except FileNotFoundError:
            found = Listing(now, [])
        self._listing = found if started - max(now[:2]) > SETTLE_SECONDS * 1e9 else None
        return found

    def newest(self, recipe: str = "") -> Iterator[RunEntry]:
        """Yield the runs, newest first; reads records lazily, a few at once."""
        ids = self.ids()
        for start in range(0, len(ids), 32):
            yield from (entry for entry in self.entries(ids[start : start + 32]) if recipe in ("", entry.recipe))

    def record(self, run_id: str) -> RunRecord:
        """Return the whole record of a run. Raises LookupError if there is none of this id."""
        found = next(self.journal.some([run_id]), None) if run_id in self.ids() else None
        if found is None:
            raise LookupError(f"{self.store.url} has no run {run_id!r}; it may have been removed.")
        return found

    def _is_unread(self, run_id: str, now: Signature) -> bool:
        if run_id not in self._known:
            return True
        before, entry = self._known[run_id]
        return before != now or (not now and entry.status == "running")

    def _with_end(self, entry: RunEntry) -> RunEntry:
        """Return an entry that is called crashed if it says that it runs and its process is gone."""
        if entry.status != "running":
            return entry
        return replace(entry, status=self.status(entry.id))

    def status(self, run_id: str) -> str:
        """Return how a run is: what its record says, or crashed if that says running and its process is gone."""
        record = self.record(run_id)
        return "crashed" if record.status == "running" and not self.journal.alive(record) else record.status

    def _signature(self, run_id: str) -> Signature:
        if self.store.local_root is None:
            return ()
        folder = self.store.local_root / RUNS
        return tuple(map(_signed, (folder / f"{run_id}.json", folder / f"{run_id}{EXPORT}")))


def _ids(names: Iterable[str]) -> list[str]:
    found = (name.removesuffix(".json") for name in names if name.endswith(".json"))
    return sorted((name for name in found if "." not in name), reverse=True)


def _signed(path: Path) -> StatSignature:
    try:
        return stat_signature(path.stat())
    except FileNotFoundError:
        return 0, 0, 0, 0
