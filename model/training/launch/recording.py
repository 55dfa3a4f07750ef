"""Record workers whenever their launcher is recorded, so the code they run counts for the model.

A recording process has FOLIO_MARKS, the folder that all its processes mark in, and FOLIO_SNAPSHOT in its environment. Processes on this
machine inherit both; ssh, a job script or a person who starts torchrun by hand may not pass them on. So the launcher also writes them
next to the job file, and an unrecorded worker restarts with them. A worker without marks is reported by name.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

VARIABLES = ("FOLIO_MARKS", "FOLIO_SNAPSHOT", "PYTHONPATH")


def expect_workers(directory: Path, module: str, workers: int) -> None:
    """Write next to the job file how its workers are recorded, and in the folder of marks which workers must leave marks."""
    if "FOLIO_MARKS" not in os.environ:
        return
    found = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    (directory / "recording.json").write_text(json.dumps(found), encoding="utf-8")
    expected = [{"program": module, "rank": rank, "name": f"worker {rank}"} for rank in range(workers)]
    (Path(os.environ["FOLIO_MARKS"]) / "workers.expected").write_text(json.dumps(expected), encoding="utf-8")


def require_recording(directory: Path, module: str, arguments: list[str]) -> None:
    """Start this program again, recorded, if its launcher is recorded and it is not."""
    found = directory / "recording.json"
    if "FOLIO_MARKS" not in os.environ and found.exists():
        environment = {**os.environ, **json.loads(found.read_text(encoding="utf-8"))}
        os.execve(sys.executable, [sys.executable, "-m", module, *arguments], environment)
