"""A signal at any moment of a run ends it, in time and in order: none is lost, whatever library the run is in."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tasks.stage.store.journal import Journal
from tasks.stage.store.store import Store
from tests.crash.launching import ROOT

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
END_SECONDS = 60.0
LONGEST_SECONDS = 6.0
"""The latest moment; a run that has ended before its signal comes proves nothing, and is not asked for more."""


def launched(folder: Path) -> subprocess.Popen[str]:
    """The toy pipeline in a process of its own, once signals are heeded."""
    from prefect.settings import PREFECT_API_URL

    environment = {**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value()), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.crash.toy", str(folder / "work"), str(folder / "store"), "", "plain"],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: [signal.signal(number, signal.SIG_DFL) for number in SIGNALS],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()[1]
    return process


def left_by(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes of a run that live on."""
    found = []
    for other in psutil.process_iter():
        try:
            if other.environ().get("FOLIO_RUN") == str(process.pid) and other.status() != psutil.STATUS_ZOMBIE:
                found.append(other)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 36))])
def test_a_signal_at_any_moment_ends_the_run_and_the_journal_says_so(seed: int, tmp_path: Path, prefect: None) -> None:
    number, moment = SIGNALS[seed % len(SIGNALS)], random.Random(seed).uniform(0, LONGEST_SECONDS)
    process = launched(tmp_path)
    time.sleep(moment)
    process.send_signal(number)
    said, complaints = process.communicate(timeout=END_SECONDS)
    where = f"signal {number} after {moment:.2f} s\n{said}\n{complaints}"
    records = Journal(Store(str(tmp_path / "store"), tmp_path / "cache")).records()
    finished = [record.status for record in records] == ["finished"]
    # After its end a run has nothing to close, so a signal takes its process as it takes any.
    assert process.returncode == 128 + number or (finished and process.returncode in (0, -number)), where
    assert all(record.status in ("stopped", "finished") for record in records), where
    assert "Traceback" not in complaints, where
    assert not left_by(process), where
