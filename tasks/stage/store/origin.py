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

COMMIT = "# branch.oid "
LIBRARY_FOLDER = Path(__file__).resolve().parent


def now() -> str:
    """Return the UTC time in ISO 8601 with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def origin(run_id: str, code: Path = LIBRARY_FOLDER) -> Origin:
    """Describe this moment, this machine, the code in a folder and a run as the origin of an artifact."""
    commit, dirty = git_state(code)
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
def git_state(folder: Path = LIBRARY_FOLDER) -> tuple[str, bool]:
    """Return commit and dirty flag of the checkout that a folder lies in; ("", False) outside of a checkout or without git."""
    if shutil.which("git") is None:
        return "", False
    asked = ["git", "status", "--porcelain=v2", "--branch"]
    status = subprocess.run(asked, cwd=folder, capture_output=True, text=True, check=False)
    lines = status.stdout.splitlines() if status.returncode == 0 else []
    commit = next((line.removeprefix(COMMIT) for line in lines if line.startswith(COMMIT)), "(initial)")
    return ("", False) if commit == "(initial)" else (commit, any(not line.startswith("#") for line in lines))


@cache
def installed() -> dict[str, str]:
    """Return every installed distribution and its version; remains of a broken installation have no name and are skipped."""
    named = ((d.metadata["Name"], d.version) for d in distributions())
    return dict(sorted((name.lower(), version) for name, version in named if name))
