"""Contests: processes that do the same work in turns, and tables of ratios with the bounds they are held to.

All contestants are started first and sleep; then each round is A B C ..., the next one ... C B A, so that a machine that grows slower
treats all alike. A ratio is taken within each round, and the median of the rounds counts: a neighbour's burst spoils one round.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
Turn = Callable[[int], float]
"""Makes so many updates; returns the seconds they took."""


class Contestant:
    """A process that speaks as `tests.benchmarks.rounds` says. Raises RuntimeError with its last words when it ends by itself."""

    def __init__(
        self, name: str, python: Path, module: str, arguments: Sequence[str], threads: int, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed with the process
        self._process = subprocess.Popen(
            [str(python), "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "true", **(environment or {})},
        )
        self.facts = self._answer()
        self.processor_seconds = 0.0

    def turn(self, updates: int) -> float:
        """Seconds of a round on the clock; those of its processors are added up in `processor_seconds`."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{updates}\n")
        self._process.stdin.flush()
        answer = self._answer()
        self.processor_seconds += float(answer["processor_seconds"])
        return float(answer["seconds"])

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self._said.seek(0)
            raise RuntimeError(f"{self.name} ended with {code}: {self._said.read()[-3000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def entered(contestants: Sequence[Callable[[], Contestant]]) -> Iterator[list[Contestant]]:
    """All of them, started one after the other; ended however the block ends."""
    with ExitStack() as stack:
        started: list[Contestant] = []
        for start in contestants:
            started.append(start())
            stack.callback(started[-1].close)
        yield started


class Renewed:
    """Takes each turn as a new process, so that one process's luck with the places of its memory spoils one round."""

    def __init__(self, start: Callable[[], Contestant]) -> None:
        self._start = start
        self.facts: dict[str, Any] = {}
        self.processor_seconds = 0.0

    def turn(self, updates: int) -> float:
        """Seconds of a round on the clock, without the process's start and warm-up."""
        with entered([self._start]) as (contestant,):
            seconds = contestant.turn(updates)
            self.facts = contestant.facts
            self.processor_seconds += contestant.processor_seconds
        return seconds


def contest(turns: Mapping[str, Turn], updates: int, rounds: int, tokens: int) -> dict[str, list[float]]:
    """Tokens a second of each in every round; `tokens`: of one update."""
    speeds: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(rounds):
        for name in list(turns)[:: -1 if number % 2 else 1]:
            speeds[name].append(updates * tokens / turns[name](updates))
        print(f"    round {number + 1} of {rounds}: " + ", ".join(f"{name} {speed[-1]:,.0f}" for name, speed in speeds.items()), flush=True)
    return speeds


class Table:
    """Rows of ours against theirs; remembers which missed their bound."""

    def __init__(self) -> None:
        self.missed: list[str] = []

    def head(self, title: str, unit: str) -> None:
        """A new table."""
        print(f"\n{title}\n  {'':44} {f'ours, {unit}':>16} {f'theirs, {unit}':>18} {'ratio':>9} {'bound':>9}", flush=True)

    def against(
        self, what: str, ours: Sequence[float], theirs: Sequence[float], *, least: float | None, strictly: bool = False, note: str = ""
    ) -> None:
        """The median ratio of paired measurements must be at least `least`, or above it, unless it is only told."""
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        ratio = statistics.median(ratios)
        met = least is None or (ratio > least if strictly else ratio >= least)
        bound = "told" if least is None else f"{'>' if strictly else '>='} {least:g}"
        notes = (f"rounds {min(ratios):.3f} to {max(ratios):.3f}", note)
        figures = f"{statistics.median(ours):16,.0f} {statistics.median(theirs):18,.0f} {ratio:9.3f}"
        self._row(what, figures, bound, met, ", ".join(filter(None, notes)))

    def share(self, what: str, part: float, whole: float, *, most: float) -> None:
        """A part of a whole must be at most `most`."""
        self._row(what, f"{part:16,.3f} {whole:18,.3f} {part / whole:9.4f}", f"< {most:g}", part / whole < most)

    def figure(self, what: str, value: float, limit: float, *, least: float | None) -> None:
        """A value against a limit: the share must be at least `least`, unless it is only told."""
        share = value / limit
        self._row(
            what,
            f"{value:16,.1f} {limit:18,.1f} {share:9.3f}",
            "told" if least is None else f">= {least:g}",
            least is None or share >= least,
        )

    def absent(self, what: str, why: str) -> None:
        """What could not be measured here counts as missed."""
        self.missed.append(what)
        print(f"  {what:44} not run: {why}", flush=True)

    def _row(self, what: str, figures: str, bound: str, met: bool, note: str = "") -> None:
        if not met:
            self.missed.append(what)
        print(f"  {what:44} {figures} {bound:>9}  {'met' if met else 'MISSED'}  {note}".rstrip(), flush=True)

    def verdict(self) -> int:
        """Exit code: 1 when a bound was missed."""
        print(f"\nmissed: {', '.join(self.missed)}" if self.missed else "\nevery bound was met", flush=True)
        return 1 if self.missed else 0
