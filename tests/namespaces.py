"""Commands in a pid namespace of their own, as a container has: numbers begin at 1 there, and all its processes die with the first."""

from __future__ import annotations

import functools
import subprocess

import pytest


@functools.cache
def _refusal() -> str:
    """Why no namespace can be made here; "" if one can."""
    try:
        tried = subprocess.run(in_namespace(["true"]), capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unshare is not installed"
    return "" if tried.returncode == 0 else f"no pid namespace can be made here: {tried.stderr.strip()}"


def in_namespace(command: list[str]) -> list[str]:
    """Return a command line that runs a command as process 1 of a new pid namespace, which dies with whoever started it."""
    return ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *command]


needs_namespaces = pytest.mark.skipif(bool(_refusal()), reason=_refusal() or "it can be done")
