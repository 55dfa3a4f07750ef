"""Runs programs, each in a process of its own: a process that has loaded libraries and nothing of any program forks once for each.

    python zygote.py JOBS RESULTS

JOBS is a JSON list of jobs: `root`, where the program lies; `marks` and `snapshot`, if what it does is to be recorded. RESULTS becomes the
list of what `work` in data/near.py returned or raised, as text.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[3]
SECONDS = 60
AT_ONCE = len(os.sched_getaffinity(0)) + 1


def preload() -> None:
    """Load what programs import, so that no fork has to."""
    import concurrent.futures.process
    import html.parser
    import multiprocessing.pool
    import sqlite3
    import unittest.mock  # noqa: F401

    import duckdb
    import jinja2
    import numpy
    import pydantic

    sys.path.insert(0, str(REPOSITORY))
    from tasks.stage.identity.tracing import recorder

    sys.path.remove(str(REPOSITORY))
    assert all((duckdb, jinja2, numpy, pydantic, recorder, html, multiprocessing, sqlite3, concurrent))


def execute(job: dict[str, Any]) -> str:
    """Run a program in this process."""
    from tasks.stage.identity.tracing import recorder

    os.chdir(tempfile.mkdtemp(dir=job["scratch"]))
    sys.path.insert(0, job["root"])
    sys.dont_write_bytecode = True
    sys.pycache_prefix = f"{job['scratch']}/compiled"
    os.environ |= {"PYTHONPATH": job["root"], "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": f"{job['scratch']}/compiled"}
    if "marks" in job:
        recorder.install(Path(job["marks"]), Path(job["snapshot"]))
    for name in [name for name in sys.modules if name.partition(".")[0] == "tasks"]:
        del sys.modules[name]  # a program may have tasks of its own
    try:
        told = repr(import_module("data.near").work())
    except Exception as error:  # noqa: BLE001  # what a program raises is what it does
        told = f"raised {type(error).__name__}: {error}"
    if "marks" in job:
        recorder.settle()
    return told


def child(job: dict[str, Any], answer: Path) -> None:
    """Be the process of one job."""
    os.setpgid(0, 0)
    with (answer.with_suffix(".err")).open("w") as errors:
        os.dup2(errors.fileno(), 2)
    try:
        told = execute(job)
        answer.write_text(told, encoding="utf-8")
    except BaseException:  # noqa: BLE001  # a harness that fails says so
        import traceback

        answer.write_text(f"failed {traceback.format_exc()}", encoding="utf-8")
    finally:
        sys.stderr.flush()
        os._exit(0)


def run(jobs: list[dict[str, Any]], folder: Path) -> list[str]:
    """Run all jobs, a few at a time; each is ended after SECONDS, with all that it started."""
    waiting = list(enumerate(jobs))[::-1]
    running: dict[int, tuple[int, float]] = {}
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            number, job = waiting.pop()
            if (pid := os.fork()) == 0:
                child(job, folder / f"{number}.txt")
            running[pid] = number, time.monotonic()
        for pid, (number, since) in list(running.items()):
            done, _ = os.waitpid(pid, os.WNOHANG)
            if not done and time.monotonic() - since > SECONDS:
                (folder / f"{number}.txt").write_text(f"failed: not done after {SECONDS} s")
                os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                done = pid
            if done:
                del running[pid]
        time.sleep(0.001)
    return [(folder / f"{number}.txt").read_text(encoding="utf-8") for number in range(len(jobs))]


if __name__ == "__main__":
    preload()
    with tempfile.TemporaryDirectory() as place:
        told = run(json.loads(Path(sys.argv[1]).read_text()), Path(place))
    Path(sys.argv[2]).write_text(json.dumps(told))
