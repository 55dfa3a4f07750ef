"""What the crash tests share: a Prefect server of their own, an undisturbed run to compare with, and the table at the end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.launching import ROOT, Bench
from tests.end_to_end.readme import free_port
from tests.tasks.conftest import database, migrated, workshop

__all__ = ["database", "migrated", "workshop"]

TABLE: list[tuple[str, ...]] = []
HEADER = ("position", "killed when", "what", "executed by the continuation", "byte-identical")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a shell with a Prefect server on a port of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_", "FOLIO_"))}
    home = tmp_path_factory.mktemp("server")
    environment = {
        **kept,
        "FOLIO_PREFECT_PORT": str(free_port()),
        "FOLIO_PAGE_PORT": str(free_port()),
        "PREFECT_HOME": str(home / "prefect"),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    start = "from flows.services import processes, servers; servers.configure(); {}()"
    subprocess.run(
        [sys.executable, "-c", start.format("servers.ensure_prefect")], env=environment | {"FOLIO_HOME": str(home)}, cwd=ROOT, check=True
    )
    yield environment
    subprocess.run(
        [sys.executable, "-c", start.format("processes.stop")], env=environment | {"FOLIO_HOME": str(home)}, cwd=ROOT, check=True
    )


@pytest.fixture(scope="session")
def undisturbed(server: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The recipe, run to its end in peace."""
    bench = Bench(tmp_path_factory.mktemp("undisturbed"), server)
    done = bench.launch()
    assert done.code == 0, done.err
    bench.known, bench.seconds = bench.records(), done.seconds
    return bench


@pytest.fixture
def bench(undisturbed: Bench, tmp_path: Path) -> Bench:
    """An empty store in which everything will get the same keys."""
    return Bench(tmp_path / "home", undisturbed.environment, undisturbed.known)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The crash matrix as a table, with its count."""
    if TABLE:
        widths = [max(len(row[column]) for row in [HEADER, *TABLE]) for column in range(len(HEADER))]
        terminalreporter.section("crash matrix")
        for row in [HEADER, tuple("-" * width for width in widths), *TABLE]:
            terminalreporter.write_line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        same = sum(row[-1] == "yes" for row in TABLE)
        terminalreporter.write_line(f"\n{len(TABLE)} kills, {same} of them without a trace in the final bytes ({same / len(TABLE):.0%})")
