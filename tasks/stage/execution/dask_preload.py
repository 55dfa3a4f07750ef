"""Loaded by a local Dask worker when it starts: Ctrl-C at a terminal is for the run, which then lets its workers end what they are at."""

from __future__ import annotations

import signal


def dask_setup(worker: object) -> None:
    """Called by Dask in the worker's main thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
