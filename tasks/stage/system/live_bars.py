"""Bars at the foot of a terminal while a run works: one for each step under way, and one for the run as a whole.

Lines of the log scroll above them. The bar of the run counts stages; how many there are and how long they should take is told by `expect`,
once that is known. Nothing is drawn until there is something to show, or without a terminal.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from tasks.stage.system.columns import CUT, fit
from tasks.stage.system.progress import Display, format_duration, shown_on

REFRESHES = 4  # a second
BAR = 20
TIMES, GAPS = 19, 8  # characters: of "1:02:03, 45:06 left", and between the columns with a step's indentation


class LiveBars(Display):
    """The bars of one run."""

    def __init__(self, name: str, console: Console | None = None) -> None:
        self._console = console or Console()
        label = TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"))
        counts = TextColumn("{task.fields[counts]}", markup=False, table_column=Column(no_wrap=True, justify="right"))
        columns = (label, BarColumn(BAR), counts, _Times(table_column=Column(no_wrap=True)))
        self._progress = Progress(*columns, console=self._console, refresh_per_second=REFRESHES, transient=True, expand=True)
        self._lock = threading.Lock()
        self._steps: dict[str, TaskID] = {}
        self._run = self._progress.add_task(name, total=None, counts="", ends=None, visible=False)
        self._left: dict[str, float | None] = {}
        self._done: set[str] = set()

    @contextmanager
    def drawn(self) -> Iterator[None]:
        """Draw the bars during the block."""
        with shown_on(self):
            self._start()
            try:
                yield
            finally:
                self._progress.stop()

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Take the bars away during the block."""
        self._progress.stop()
        try:
            yield
        finally:
            self._start()

    def _start(self) -> None:
        self._progress.start()
        # A run that ends at once, as by a second Ctrl-C, must not leave a terminal without its cursor.
        self._console.show_cursor(True)

    def expect(self, seconds: Mapping[str, float | None]) -> None:
        """Set the stages of the run, in order, with the estimated seconds of each; None if there is no estimate."""
        with self._lock:
            self._left = dict(seconds)
        self._draw_run()

    def stage_done(self, position: str) -> None:
        """Count a stage."""
        with self._lock:
            self._done.add(position)
        self._draw_run()

    def show(self, label: str, done: int, total: int, note: str, seconds_left: float | None) -> None:
        """Draw a step's progress; remove it when done."""
        with self._lock:
            if done >= total:
                if label in self._steps:
                    self._progress.remove_task(self._steps.pop(label))
                return
            if label not in self._steps:
                self._steps[label] = self._progress.add_task(f"  {label}", total=total, counts="", ends=None)
            ends = None if seconds_left is None else time.monotonic() + seconds_left
            counts = self._counts(label, note, f"{done:,}/{total:,}")
            self._progress.update(self._steps[label], completed=done, total=total, counts=counts, ends=ends)
            self._progress.update(self._run, visible=True)

    def _counts(self, label: str, note: str, numbers: str) -> str:
        """Return the note, cut so that the step's name and its times stay whole, and the numbers."""
        room = self._console.width - BAR - TIMES - cell_len(label) - len(numbers) - GAPS
        return f"{fit(note, room)}  {numbers}" if note and room > len(CUT) else numbers

    def write(self, line: str) -> None:
        """Print a line above the bars."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _draw_run(self) -> None:
        with self._lock:
            done, of = len(self._done), max(len(self._left), len(self._done))
            ahead = [seconds for position, seconds in self._left.items() if position not in self._done]
        known = [seconds for seconds in ahead if seconds is not None]
        ends = time.monotonic() + sum(known) if ahead and len(known) == len(ahead) else None
        counts = f"{done}/{of} stages" if self._left else f"{done} stages"
        self._progress.update(self._run, completed=done, total=of if self._left else None, counts=counts, ends=ends)


class _Times(ProgressColumn):
    """A bar's elapsed and remaining time."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        """Return both times, the second if it is known."""
        ends = task.fields["ends"]
        left = "" if ends is None else f", {format_duration(ends - time.monotonic())} left"
        return Text(f"{format_duration(task.elapsed or 0)}{left}")
