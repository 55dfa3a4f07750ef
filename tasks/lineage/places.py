"""Classify files in folio's home and store, and say what removes each: garbage collection, or a person."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Removal = Literal["gc", "person"]


@dataclass(frozen=True)
class Place:
    """A kind of file. `advice`: what removes it, or what a person must do.

    `expendable`: safe to delete by itself; `trained`: weights may lie there that no record tells of.
    """

    kind: str
    removal: Removal
    advice: str
    expendable: bool = True
    trained: bool = False


ARTIFACT = Place("artifact", "gc", "goes with its artifact", False)
SOURCE = Place("source", "person", "delete or move it, or exclude the document", False)
RETAINED = Place("retained model", "person", "delete the folder of each model that learned from it", trained=True)
STORE_PLACES = (
    (r"\.quarantine/", Place("quarantined artifact", "gc", "goes after a week in quarantine, or delete its folder now", trained=True)),
    (r"\.staging/", Place("work in progress", "gc", "goes when its stage is done; if it was left, after a day", trained=True)),
    (
        r"[^./][^/]*/(\.[^/]+-[0-9a-f]{6}|[^/]+/[0-9a-f]{32})/",
        Place("replaced artifact", "gc", "a refresh replaced it, or its writer came too late; goes with folio gc", trained=True),
    ),
    (r"\.runs/", Place("journal", "person", "delete the record of the run; then its artifacts count as unused")),
    (r"\.approved/", Place("answer about a verdict", "person", "delete it; the gate then asks again")),
    (r"\.(traces|accepted|locks)/", Place("bookkeeping of the store", "gc", "goes when no kept artifact needs it")),
    (r"", Place("file beside the artifacts", "person", "folio lists it nowhere; delete it", trained=True)),
)
HOME_PLACES = (
    (r"reports/", Place("report", "person", "delete it; later runs write pages of their own")),
    (r"\.?mlflow\.db", Place("MLflow's database", "person", "mlflow experiments delete, then mlflow gc; folio sync fills it again", False)),
    (r"mlflow/", Place("MLflow's copy", "person", "delete it; what else its run has stays in MLflow", trained=True)),
    (r"prefect/.*\.db", Place("Prefect's database", "person", "delete the flow runs, logs and artifacts that have it in Prefect", False)),
    (r"(prefect-results|prefect)/", Place("Prefect's result", "person", "delete it; folio finds its artifacts without it")),
    (r"logs/", Place("log", "person", "stop the services with folio down, then delete it")),
    (r"cache/artifacts/", Place("local copy of a remote artifact", "person", "delete it; it is fetched again when needed")),
    (r"cache/pages/", Place("kept part of a page", "person", "delete it; it is made again when needed")),
    (r"cache/source/", Place("snapshot of the source", "person", "delete it when no run is under way")),
    (r"cache/", Place("cache", "person", "delete it; what is needed is fetched or made again")),
    (r"", Place("file in folio's home", "person", "delete it", trained=True)),
)


def place_in_store(path: str) -> Place:
    """Return what a file is that belongs to no artifact, by its path inside the store."""
    return _first(STORE_PLACES, path)


def place_in_home(path: str) -> Place:
    """Return what a file is by its path inside folio's home."""
    return _first(HOME_PLACES, path)


def _first(places: tuple[tuple[str, Place], ...], path: str) -> Place:
    return next(place for pattern, place in places if re.match(pattern, path))
