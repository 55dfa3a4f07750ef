"""When, where and by which code something was made."""

from __future__ import annotations

import platform
import shutil
import socket
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

from tasks.stage.store.artifact import Origin


def now() -> str:
    """Return the UTC time in ISO 8601 with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def origin(run_id: str) -> Origin:
    """Describe this moment, this machine, this code and a run as the origin of an artifact."""
    commit, dirty = git_state()
    return Origin(
        created=now(),
        host=socket.gethostname(),
        device=platform.machine(),
        git_commit=commit,
        git_dirty=dirty,
        packages=installed(),
        run_id=run_id,
    )


@cache
def git_state() -> tuple[str, bool]:
    """Return commit and dirty flag of the checkout of this code; ("", False) outside of a checkout or without git."""
    if shutil.which("git") is None:
        return "", False
    here = Path(__file__).resolve().parent
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    if commit.returncode != 0:
        return "", False
    status = subprocess.run(["git", "status", "--porcelain"], cwd=here, capture_output=True, text=True, check=False)
    return commit.stdout.strip(), bool(status.stdout.strip())


@cache
def installed() -> dict[str, str]:
    """Return every installed distribution and its version; remains of a broken installation have no name and are skipped."""
    named = ((d.metadata["Name"], d.version) for d in distributions())
    return dict(sorted((name.lower(), version) for name, version in named if name))
