"""What a run leans on goes away while it works: one message, and the same command goes on when it is back. Nothing half-made is reused."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from tests.crash.disks import fill_up, read_only, small_disk
from tests.crash.launching import RECIPE, ROOT, Bench
from tests.end_to_end.readme import free_port

pytestmark = pytest.mark.crash
TRACKED = ("--set", 'tracking=""')
SETTLED_SECONDS = 60  # two processes may tell a server of one run, one after the other


class Under:
    """A run of the crash recipe that is under way."""

    def __init__(self, bench: Bench, *words: str) -> None:
        self.bench = bench
        environment = bench.environment | {"FOLIO_HOME": str(bench.home)}
        command = [
            sys.executable,
            "-m",
            "flows.cli.app",
            "run",
            str(RECIPE),
            "--set",
            "resources.training.checkpoint_every_steps=4",
            *words,
        ]
        self.process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.said: list[str] = []

    def until(self, words: str) -> None:
        """Read what it says until it says this."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if words in line:
                return
        raise AssertionError(f"{''.join(self.said)}\n{self.process.communicate()[1]}")

    def until_it_trains(self) -> None:
        """Until the first checkpoint of `pretrain` is in force."""
        self.until("pretrain: runs")
        while not list(self.bench.store.glob(".staging/pretrain-*/*/resume/latest.json")):
            assert self.process.poll() is None
            time.sleep(0.005)

    def finished(self) -> str:
        """All it said, once it has finished and nothing of it is alive."""
        out, err = self.process.communicate(timeout=600)
        self.said += out.splitlines(keepends=True)
        assert (self.process.returncode, err) == (0, ""), out + err
        self.bench.wait_for_workers()
        return "".join(self.said)

    def folio(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Give another command in the same home."""
        environment = self.bench.environment | {"FOLIO_HOME": str(self.bench.home)}
        command = [sys.executable, "-m", "flows.cli.app", *words]
        return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)

    def failed(self) -> str:
        """Its one message, once it has failed and nothing of it is alive."""
        out, err = self.process.communicate(timeout=600)
        self.said += out.splitlines(keepends=True)
        assert self.process.returncode == 1, out + err
        assert err.startswith("folio: ")
        assert (err.count("\n"), "Traceback" in err) == (1, False), err
        self.bench.wait_for_workers()
        return err


def goes_on(bench: Bench, undisturbed: Bench, *words: str) -> str:
    """The same command comes to the undisturbed run's bytes, and reuses what was whole."""
    launch = bench.launch(*words)
    assert launch.code == 0, launch.err
    assert not launch.before & set(launch.executed)
    assert bench.digests() == undisturbed.digests()
    return launch.out


@pytest.fixture
def disk(bench: Bench) -> Iterator[Path]:
    """The store on a disk of its own, of 20 MB."""
    with small_disk(bench.store, "20m") as folder:
        yield folder


@pytest.mark.parametrize("position", ["ingest", "clean", "dedup", "tokenizer", "pack", "pretrain", "evaluate.chat", "export"])
def test_a_store_whose_disk_fills_while_a_stage_works(undisturbed: Bench, bench: Bench, disk: Path, position: str) -> None:
    before = list(undisturbed.known)
    known = next(name for name in before if name.startswith(position))
    run = Under(bench)
    if before.index(known):
        run.until(f"{before[before.index(known) - 1]}: done")
    run.process.send_signal(signal.SIGSTOP)
    fill_up(disk / "ballast")
    run.process.send_signal(signal.SIGCONT)
    message = run.failed()
    assert any(words in message for words in ("No space left", "bytes free", "bytes are free", "Free space")), message
    assert known not in bench.whole()
    bench.wait_for_followers()
    (disk / "ballast").unlink()
    goes_on(bench, undisturbed)


def test_a_store_that_turns_read_only(undisturbed: Bench, bench: Bench) -> None:
    run = Under(bench)
    run.until("assign: done")
    run.process.send_signal(signal.SIGSTOP)
    with read_only(bench.store):
        run.process.send_signal(signal.SIGCONT)
        assert "Read-only file system" in run.failed()
    goes_on(bench, undisturbed)


def test_a_home_that_turns_read_only_while_the_store_does_not(bench: Bench, tmp_path: Path) -> None:
    words = ("--set", f"store={tmp_path / 'elsewhere'}", *TRACKED)
    run = Under(bench, *words)
    run.until("assign: done")
    run.process.send_signal(signal.SIGSTOP)
    with read_only(bench.home):
        run.process.send_signal(signal.SIGCONT)
        message = run.failed()
    assert "Read-only file system" in message or "readonly database" in message
    again = bench.launch(*words)
    assert again.code == 0, again.err
    assert not {"universe", "dedup", "assign"} & set(again.executed)


@pytest.mark.parametrize("how", ["deleted", "moved", "locked"])
def test_mlflows_database_goes_away_while_a_model_trains_and_is_told_of_the_run_later(bench: Bench, how: str) -> None:
    database = bench.home / "mlflow.db"
    run = Under(bench, *TRACKED)
    run.until_it_trains()
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        if how == "locked":
            other.execute("BEGIN EXCLUSIVE")
        elif how == "moved":
            (bench.home / "away").mkdir()
            for path in bench.home.glob("mlflow.db*"):
                path.rename(bench.home / "away" / path.name)
        elif how == "deleted":
            for path in bench.home.glob("mlflow.db*"):
                path.unlink()
        said = run.finished()
    # A database that is gone is made again and told at once.
    assert how != "locked" or "MLflow does not show this run yet" in said
    assert run.folio("sync").returncode == 0
    assert statuses(bench) == {"FINISHED"}
    again = run.folio("sync")
    assert again.stdout.startswith("nothing to do")


def test_prefects_server_goes_away_while_a_model_trains_and_is_told_of_the_run_later(bench: Bench) -> None:
    port = free_port()
    bench.environment = bench.environment | {"FOLIO_PREFECT_PORT": str(port), "PREFECT_HOME": str(bench.home / "prefect")}
    run = Under(bench)
    run.until_it_trains()
    _listener(port).kill()
    assert f"the Prefect server at http://127.0.0.1:{port} went away" in run.finished()
    try:
        assert run.folio("up").returncode == 0
        deadline = time.monotonic() + SETTLED_SECONDS
        while (states := prefect_states(bench)) != {"COMPLETED"} and time.monotonic() < deadline:
            time.sleep(1)
        assert states == {"COMPLETED"}
    finally:
        run.folio("down")


def prefect_states(bench: Bench) -> set[str]:
    """Return the states of every flow run and task run that Prefect shows."""
    with closing(sqlite3.connect(bench.home / "prefect" / "prefect.db")) as prefect:
        return {state for table in ("flow_run", "task_run") for (state,) in prefect.execute(f"SELECT state_type FROM {table}")}


def statuses(bench: Bench) -> set[str]:
    """The statuses of every run that MLflow shows."""
    with closing(sqlite3.connect(bench.home / "mlflow.db")) as mlflow:
        return {status for (status,) in mlflow.execute("SELECT status FROM runs")}


def _listener(port: int) -> psutil.Process:
    listening = (c for c in psutil.net_connections("inet") if c.status == psutil.CONN_LISTEN)
    return next(psutil.Process(c.pid) for c in listening if c.laddr and c.laddr.port == port)
