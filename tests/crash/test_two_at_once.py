"""Two pipelines at once on one store: whatever they both need is made once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.crash.launching import ROOT
from tests.tasks.toys import BODIES


@pytest.mark.parametrize("rounds", [pytest.param(3, marks=pytest.mark.slow), pytest.param(20, marks=pytest.mark.crash)])
def test_two_processes_that_want_the_same_keys_execute_each_once(tmp_path: Path, prefect: None, rounds: int) -> None:
    from prefect.settings import PREFECT_API_URL

    environment = {**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value()), "PYTHONPATH": str(ROOT)}
    log, command = tmp_path / "bodies.txt", [sys.executable, "-m", "tests.crash.toy"]
    both = [
        subprocess.Popen(
            [*command, str(tmp_path / name), str(tmp_path / "store"), "", str(rounds), str(log)],
            env=environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "other")
    ]
    first, second = ([line for line in process.communicate(timeout=600)[0].splitlines() if "=" in line] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    executed = Counter(log.read_text().splitlines())
    assert executed == {f"{stage} {number}": 1 for stage in BODIES for number in range(rounds)}
    assert first == second
    assert len(first) == rounds
