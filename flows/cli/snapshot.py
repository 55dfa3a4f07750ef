"""The store that a command reads, with its records."""

from __future__ import annotations

from pathlib import Path

import flows.pipeline  # noqa: F401  # its chapters import every stage, and so fill STAGES
from flows.services.home import home, store_url
from tasks.lineage.snapshot import StoreSnapshot
from tasks.stage.execution.run_context import open_store
from tasks.stage.stage import STAGES


def open_snapshot(store: str) -> StoreSnapshot:
    """Return the store at a path or URL, by default the one in folio's home, with its records."""
    return StoreSnapshot.load(open_store(store or store_url(), Path.cwd(), home()), STAGES)
