"""Services elsewhere that a run told of its work, which no search of files reaches."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tasks.stage.store.journal import RunRecord

LOCAL = "sqlite:///"


def unreachable(runs: Iterable[RunRecord], home: Path) -> list[tuple[str, str]]:
    """Return (address, why) of each MLflow outside of folio's home."""
    addresses = {str(run.configuration.get("tracking", "")) for run in runs} - {"", "none"}
    outside = (address for address in addresses if not Path(address.removeprefix(LOCAL)).is_relative_to(home))
    return [(address, "MLflow outside folio's home: search it there") for address in sorted(outside)]
