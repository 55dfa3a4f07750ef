"""What a fully reused run costs over an empty Prefect flow: `python -m tests.benchmarks.reused_run [recipe] [rounds] [artifacts]`.

Both are whole commands in processes of their own on the running Prefect server, with the same settings, one after the other in turns. The
recipe is run once before, so that everything is there, and the store is filled up with small artifacts, 10,000 by default, so name a home
for it by FOLIO_HOME. Prints the medians, their difference and their ratio, each against its bound, and the load. A run ends before
MLflow was told of it; how long that takes afterwards is printed, too, and waited for before the next command.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from flows.services.home import home, store_url
from tasks.stage.store.journal import Journal
from tasks.stage.store.store import Store
from tests.benchmarks.store import write_store

LIMIT_SECONDS, LIMIT_RATIO = 0.5, 1.3
EMPTY = """
from flows.services import servers
servers.configure()
from prefect import flow
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
    flow(name="empty")(lambda: None)()
"""


def seconds(command: list[str]) -> float:
    """Wall time of a command. Raises CalledProcessError with what it wrote."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, text=True)
    return time.perf_counter() - began


def seconds_until_told() -> float:
    """Wall time until MLflow and Prefect were told of every run of the store."""
    began, journal = time.perf_counter(), Journal(Store(store_url(), home() / "cache" / "artifacts"))
    while journal.owing():
        time.sleep(0.02)
    return time.perf_counter() - began


def main(recipe: str = "universe", rounds: str = "5", artifacts: str = "10000") -> None:
    """Measure and print."""
    if "FOLIO_HOME" not in os.environ:
        raise SystemExit("This fills up the store, so it needs a home of its own: FOLIO_HOME=DIR python -m tests.benchmarks.reused_run")
    run, empty = [sys.executable, "-m", "flows.cli.app", "run", recipe], [sys.executable, "-c", EMPTY]
    first = seconds(run)
    print(f"{recipe}: run once, {first:.1f} s; told {seconds_until_told():.1f} s later")
    if not (Path(store_url()) / "stage0").exists():
        write_store(Path(store_url()), int(artifacts))
    measured = [(seconds(empty), seconds(run), seconds_until_told()) for _ in range(int(rounds))]
    names = ("empty flow", "reused run", "afterwards, until MLflow was told")
    for name, values in zip(names, zip(*measured, strict=True), strict=True):
        print(f"{name}: median {statistics.median(values):.2f} s of {', '.join(f'{value:.2f}' for value in values)}")
    empties, runs, _ = (statistics.median(values) for values in zip(*measured, strict=True))
    _judge("difference", runs - empties, LIMIT_SECONDS, " s")
    _judge("ratio", runs / empties, LIMIT_RATIO, "")
    print(f"load {os.getloadavg()[0]:.1f}")


def _judge(what: str, value: float, limit: float, unit: str) -> None:
    print(f"{what} {value:.2f}{unit}, {'within' if value <= limit else 'over'} {limit}{unit}")


if __name__ == "__main__":
    main(*sys.argv[1:])
