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
UNTRACKED = "? "
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
    """Return commit and dirty flag of the checkout that a folder lies in; ("", False) outside of a checkout or without git.

    Texts and recipes that a user keeps beside the code, at the top of the checkout, don't make it dirty.
    """
    if shutil.which("git") is None:
        return "", False
    asked = ["git", "status", "--porcelain=v2", "--branch", "-z"]
    status = subprocess.run(asked, cwd=folder, capture_output=True, text=True, check=False)
    entries = status.stdout.split("\0")[:-1] if status.returncode == 0 else []
    commit = next((entry.removeprefix(COMMIT) for entry in entries if entry.startswith(COMMIT)), "(initial)")
    if commit == "(initial)":
        return "", False
    top = next((parent for parent in (folder, *folder.parents) if (parent / ".git").exists()), folder)
    return commit, any(_is_change(entry, top) for entry in entries if not entry.startswith("#"))


def _is_change(entry: str, top: Path) -> bool:
    """Say whether an entry of `git status` may change what code does: at the top, of new files, programs and packages alone."""
    if not entry.startswith(UNTRACKED):
        return True
    path = entry.removeprefix(UNTRACKED)
    return "/" in path.rstrip("/") or path.endswith(".py") or (top / path / "__init__.py").is_file()


@cache
def installed() -> dict[str, str]:
    """Return every installed distribution and its version; remains of a broken installation have no name and are skipped."""
    named = ((d.metadata["Name"], d.version) for d in distributions())
    return dict(sorted((name.lower(), version) for name, version in named if name))
