"""The series that stages report during a run, such as a loss by step, stored next to the run's record.

`.runs/<id>.series/<number>.jsonl` holds rows that are never changed: position, metric, value, step, milliseconds since 1970. Rows are
written every two seconds at most and more rarely in a long run, so a week leaves about two thousand files, and a kill loses what was
reported since the last of them. An object store can't append, so each writing is a file of its own.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from tasks.stage.store.journal import RUNS
from tasks.stage.store.store import Store, StoreError

SECONDS = 2.0
STRETCH = 0.01  # of the time since the run began
DIGITS = 8


class SeriesRow(NamedTuple):
    """A value of a metric at a step of a stage. `time`: milliseconds since 1970."""

    position: str
    metric: str
    value: float
    step: int
    time: int


class SeriesWriter:
    """Writes the series of one run; `written` is called after each file."""

    def __init__(self, store: Store, run_id: str, written: Callable[[], None]) -> None:
        self._store, self._folder, self._written = store, _folder(run_id), written
        self._began, self._count = time.monotonic(), 0
        self._rows: list[SeriesRow] = []
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def add(self, position: str, rows: Iterable[tuple[str, float, int]]) -> None:
        """Keep (metric, value, step) rows until they are due to be written."""
        moment = int(time.time() * 1000)
        with self._lock:
            self._rows += [SeriesRow(position, metric, float(value), step, moment) for metric, value, step in rows]
            if self._rows and self._timer is None:
                self._timer = threading.Timer(max(SECONDS, STRETCH * (time.monotonic() - self._began)), self._flush_when_due)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Write what is kept. Raises StoreError, and keeps it."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if not self._rows:
                return
            content = "".join(json.dumps(row) + "\n" for row in self._rows).encode()
            self._store.put(f"{self._folder}/{self._count:0{DIGITS}}.jsonl", content, "the series of this run")
            self._rows, self._count = [], self._count + 1
        self._written()

    def _flush_when_due(self) -> None:
        try:
            self.flush()
        except StoreError:
            return  # the rows are kept, and the stage's end raises this if it lasts


def read_series(store: Store, run_id: str, first: int = 0) -> Iterator[tuple[int, list[SeriesRow]]]:
    """Yield the number and the rows of each file from number `first` on."""
    for name in store.names(_folder(run_id)):
        number = int(name.removesuffix(".jsonl"))
        if number >= first and (content := store.get(f"{_folder(run_id)}/{name}")) is not None:
            yield number, [SeriesRow(*json.loads(line)) for line in content.splitlines()]


def _folder(run_id: str) -> str:
    return f"{RUNS}/{run_id}.series"
