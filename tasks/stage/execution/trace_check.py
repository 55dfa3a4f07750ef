"""Recompute the traces of a store's records on one source: the repository now, or as it was when the run opened."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from tasks.stage.identity.tracing import mark_file
from tasks.stage.identity.tracing.marks import Marks
from tasks.stage.identity.tracing.source import Source
from tasks.stage.identity.tracing.trace import Change, Trace, differences, trace_of
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.store import Store
from tasks.stage.store.traces import read_trace, save_trace


class TraceChecker:
    """Says whether the traces of records hold on `source`. Equal marks are looked up and computed once. `cache`: a folder, or None."""

    def __init__(self, store: Store, source: Source, cache: Path | None) -> None:
        self.store, self.source, self.cache = store, source, cache
        self._today: dict[str, Trace | None] = {}

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        """Pickle a snapshot as its manifest; another process then opens it itself. Raises RuntimeError for a source without one."""
        if self.source.manifest is None:
            raise RuntimeError("a source without a snapshot on disk stays in its process")
        return _opened, (self.store, self.source.manifest, self.cache)

    def recorded(self, record: Artifact) -> Trace | None:
        """Return the trace of a record; None if it has none, or its file is missing, damaged or of another format."""
        content = read_trace(self.store, record.trace) if record.trace else None
        try:
            return None if content is None else Trace.read(content)
        except (TypeError, ValueError):
            return None

    def marks(self, record: Artifact) -> Marks | None:
        """Return the marks of a record; None if it has none, or their file is missing, damaged or of another format."""
        content = read_trace(self.store, record.marks) if record.marks else None
        try:
            found = None if content is None else Marks.model_validate_json(content)
        except ValidationError:
            return None
        return found if found is not None and found.version == mark_file.VERSION else None

    def today(self, record: Artifact) -> Trace | None:
        """Return the trace that a record's marks have on the source; None without marks."""
        if record.marks not in self._today:
            marks = self.marks(record)
            self._today[record.marks] = None if marks is None else self.of(marks)
        return self._today[record.marks]

    def of(self, marks: Marks) -> Trace:
        """Return the trace that marks have on the source."""
        return trace_of(marks, self.source, cache=self.cache)

    def holds(self, record: Artifact) -> bool:
        """Return whether an execution now would read the same as the one that made a record."""
        today = self.today(record) if record.trace else None
        return today is not None and today.hash == record.trace

    def changes(self, record: Artifact) -> tuple[Change, ...]:
        """Return what has changed of all that the execution read, the most telling first; nothing if either trace is missing."""
        recorded, today = self.recorded(record), self.today(record)
        return () if recorded is None or today is None else differences(recorded, today)

    def manifest(self, snapshot: str) -> Path:
        """Return the path of another snapshot's manifest, in the source's folder."""
        if self.source.manifest is None:
            raise RuntimeError("a source without a snapshot on disk has no other snapshot beside it")
        return self.source.manifest.with_name(f"{snapshot}.json")

    def save(self, marks: Marks) -> tuple[Trace, str]:
        """Keep marks and the trace that they have on the source in the store; return the trace and the name of the marks."""
        trace = self.of(marks)
        save_trace(self.store, trace.content)
        return trace, save_trace(self.store, marks.model_dump_json(indent=1).encode())


def _opened(store: Store, manifest: Path, cache: Path | None) -> TraceChecker:
    return TraceChecker(store, Source.opened(manifest), cache)
