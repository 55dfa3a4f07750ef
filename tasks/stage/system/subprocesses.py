"""Processes of folio's own code that outlive a signal to the run, since each has a session of its own.

This module imports nothing heavy, so it can start such a process before anything else.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def start_detached(command: list[str], *, stdin: int, stdout: int, stderr: int | None) -> subprocess.Popen[bytes]:
    """Start a command that can import this repository, in a session of its own; streams as in `subprocess.Popen`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}
    return subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, env=environment, start_new_session=True)
