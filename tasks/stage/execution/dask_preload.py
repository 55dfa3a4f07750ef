"""Loaded by a local Dask worker at its start: ignore Ctrl-C, which is meant for the run; the run lets its workers finish their shards."""

from __future__ import annotations

import signal


def dask_setup(worker: object) -> None:
    """Called by Dask in the worker's main thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
