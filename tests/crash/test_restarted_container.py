"""A container that is killed and started again on the same home: its runs get the numbers of the runs before them, and harm nobody."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tasks.stage.store.journal import Journal
from tasks.stage.store.store import Store
from tests.crash.launching import ROOT
from tests.namespaces import in_namespace, needs_namespaces

pytestmark = needs_namespaces
SETTLED_SECONDS = 60.0


class Home:
    """A folder that outlives its containers: a store, and the home of whoever runs there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, folder / "store"
        self.journal = Journal(Store(str(self.store), folder / "cache"))

    @contextmanager
    def container(self, name: str, what: str) -> Iterator[subprocess.Popen[str]]:
        """A container in which the toy pipeline is process 1; killed with all its processes at the end."""
        from prefect.settings import PREFECT_API_URL

        environment = {**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value()), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "tests.crash.toy", str(self.folder / name), str(self.store), "", what]
        with subprocess.Popen(in_namespace(command), env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True) as container:
            try:
                yield container
            finally:
                for process in psutil.Process(container.pid).children() if container.poll() is None else ():
                    process.kill()

    def killed(self, name: str) -> None:
        """Run the pipeline in a container that is killed in the middle of a stage."""
        with self.container(name, "sleep") as container:
            wait_for("learning", container)
            assert container.poll() is None

    def statuses(self) -> list[str]:
        """How the journal says that each run is, oldest first, once none of them is dead and open."""
        deadline = time.monotonic() + SETTLED_SECONDS
        while self.journal.dead():
            assert time.monotonic() < deadline, "a dead run is running for ever"
            time.sleep(0.05)
        return [record.status for record in reversed(self.journal.records())]


def wait_for(word: str, container: subprocess.Popen[str]) -> None:
    """Read what a container says up to a word; fail if it ends before."""
    assert container.stdout is not None
    while word not in (line := container.stdout.readline()):
        assert line, f"it ended with {container.wait()} before it said {word!r}"


@pytest.mark.parametrize("restarts", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_a_container_killed_and_started_again_and_again_completes_its_run(
    restarts: int, tmp_path: Path, prefect: None, capsys: pytest.CaptureFixture[str]
) -> None:
    home, began = Home(tmp_path), time.monotonic()
    for number in range(restarts):
        home.killed(f"killed-{number}")
    with home.container("completed", "plain") as last:
        said, _ = last.communicate(timeout=120)
    assert last.returncode == 0, said
    assert home.statuses() == ["crashed"] * restarts + ["finished"]
    records = home.journal.records()
    assert len({(record.pid, record.host) for record in records}) == 1, "all runs have one number on one host"
    assert len({record.identity for record in records} - {None}) == restarts + 1
    assert not list(home.store.glob(".runs/*.lock"))
    with capsys.disabled():
        print(f"\n{restarts} restarts in {time.monotonic() - began:.0f} s, all as process {records[0].pid}: {home.statuses()}")


def test_a_run_goes_on_while_a_container_beside_it_settles_dead_runs_of_the_same_number(tmp_path: Path, prefect: None) -> None:
    home = Home(tmp_path)
    with home.container("lives", "sleep") as beside:
        wait_for("learning", beside)
        (living,) = home.journal.records()
        with home.container("killed", "plain") as killed:
            wait_for("learn: ", killed)
        with home.container("starts", "plain") as starting:
            wait_for("died without finishing", starting)
            assert home.statuses()[:2] == ["running", "crashed"]
            assert starting.poll() is None
        assert beside.poll() is None
        assert home.journal.alive(living)
        assert {record.pid for record in home.journal.records()} == {living.pid}
