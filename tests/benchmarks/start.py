"""How long commands take to answer: `python -m tests.benchmarks.start [rounds] [recipe]`.

Each is a whole process, and a ratio to `python -c "import prefect"`, the least that a tool on Prefect could take. They run in turns, so
that other work on the machine falls on all alike; a figure is the median over rounds, of wall time and of processor time. The plan is of a
recipe that has never run, in an empty home of its own. One round goes before, which compiles what Python keeps compiled. Exit code 1 if
the wall time of a command is above its limit.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

PREFECT = (sys.executable, "-c", "import prefect")
FOLIO = (sys.executable, "-m", "flows.cli.app")
# What follows folio's name -> the most that it may take of the time that Prefect takes to import.
LIMITS = {("--help",): 0.2, ("status",): 0.6, ("plan", "{recipe}"): 1.5}


class Took(NamedTuple):
    """Seconds of a whole process."""

    wall: float
    processor: float


def took(command: tuple[str, ...], home: str) -> Took:
    """Run a command in a home. Raises CalledProcessError with what it wrote."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "FOLIO_HOME": home})
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Took(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def main(rounds: str = "7", recipe: str = "four_books") -> bool:
    """Measure and print; return whether every command is within its limit."""
    commands = {words: (*FOLIO, *(word.format(recipe=recipe) for word in words)) for words in LIMITS}
    measured: dict[tuple[str, ...], list[Took]] = {words: [] for words in ((), *commands)}
    with tempfile.TemporaryDirectory(prefix="folio-start-") as home:
        for number in range(int(rounds) + 1):
            for words in measured:
                seconds = took(commands.get(words, PREFECT), home)
                if number:
                    measured[words].append(seconds)
    peer = measured.pop(())
    print(f"import prefect: median {statistics.median(one.wall for one in peer):.2f} s, {rounds} rounds")
    within = True
    for words, limit in LIMITS.items():
        wall, processor = (
            statistics.median(getattr(one, kind) / getattr(other, kind) for one, other in zip(measured[words], peer, strict=True))
            for kind in Took._fields
        )
        within = within and wall <= limit
        name = " ".join(word.format(recipe=recipe) for word in words)
        print(f"folio {name}: {wall:.2f} of it, {processor:.2f} of its processor time; limit {limit}{'' if wall <= limit else ', missed'}")
    return within


if __name__ == "__main__":
    sys.exit(not main(*sys.argv[1:]))
