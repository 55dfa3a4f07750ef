"""What a fully reused run costs over an empty Prefect flow: `python -m tests.benchmarks.reused_run [recipe] [rounds]`.

Both are whole commands in processes of their own on the running Prefect server, with the same settings, one after the other in turns; the
recipe is run once before, so that everything is there. Prints the medians, their difference and their ratio: the difference is held
against one second.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

LIMIT_SECONDS = 1.0
EMPTY = """
from flows.services import servers
servers.configure()
from prefect import flow
flow(name="empty")(lambda: None)()
"""


def seconds(command: list[str]) -> float:
    """Wall time of a command. Raises CalledProcessError with what it wrote."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, text=True)
    return time.perf_counter() - began


def main(recipe: str = "universe", rounds: str = "5") -> None:
    """Measure and print."""
    run, empty = [sys.executable, "-m", "flows.cli.app", "run", recipe], [sys.executable, "-c", EMPTY]
    first = seconds(run)
    print(f"{recipe}: run once, {first:.1f} s")
    measured = [(seconds(empty), seconds(run)) for _ in range(int(rounds))]
    for name, values in zip(("empty flow", "reused run"), zip(*measured, strict=True), strict=True):
        print(f"{name}: median {statistics.median(values):.2f} s of {', '.join(f'{value:.2f}' for value in values)}")
    empties, runs = (statistics.median(values) for values in zip(*measured, strict=True))
    verdict = "within" if runs - empties <= LIMIT_SECONDS else "over"
    print(f"difference {runs - empties:.2f} s, {verdict} {LIMIT_SECONDS:.0f} s; ratio {runs / empties:.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
