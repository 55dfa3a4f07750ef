"""`folio --version`."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import typer

LIBRARIES = ("prefect", "mlflow", "duckdb", "torch", "deepspeed")


def show_version(wanted: bool) -> None:
    """Print the versions of folio, its code, Python and the libraries that matter most, and end the command."""
    if not wanted:
        return
    from tasks.stage.store.origin import git_state

    commit, dirty = git_state()
    code = f" (commit {commit[:12]}{', with changes' if dirty else ''})" if commit else ""
    print(f"folio {_version('folio')}{code}")
    print(", ".join([f"Python {platform.python_version()}", *(f"{name} {_version(name)}" for name in LIBRARIES)]))
    raise typer.Exit


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
