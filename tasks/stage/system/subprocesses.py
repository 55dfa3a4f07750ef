"""Processes of folio's own code that outlive a signal to the run, since each has a session of its own.

This module imports nothing heavy, so it can start such a process before anything else.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
RUN = "FOLIO_RUN"
"""Variable of bodies and workers: the identity of the process that they are to end with."""


def start_detached(command: list[str], *, stdin: int, stdout: int, stderr: int | None) -> subprocess.Popen[bytes]:
    """Start a command that can import this repository, in a session of its own; streams as in `subprocess.Popen`."""
    environment = {**without_run(os.environ), "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}
    return subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, env=environment, start_new_session=True)


def without_run(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for a process that is no worker of a run, even if it is started within one."""
    return {name: value for name, value in environment.items() if name != RUN}
