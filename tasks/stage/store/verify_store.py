"""Verify a whole store against its records by reading every file again, ignoring caches.

Reported are: artifacts with files that are missing, unreadable, differ from their record or are not in it, or whose trace is; records that
can't be read or belong elsewhere; folders without a record; and artifacts that the newest runs used and that are gone. While a run is under
way, folders without a record are ignored, since one may be about to get it. Nothing is changed. The store is read once, several files at a
time, as fast as disk and cores allow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from tasks.stage.store.artifact import RECORD, Artifact, content_digest
from tasks.stage.store.garbage import folders_without_record
from tasks.stage.store.index import Damaged, OtherFormat
from tasks.stage.store.journal import Journal
from tasks.stage.store.store import Store
from tasks.stage.store.traces import TRACES, age_of, read_trace
from tasks.stage.system.progress import ProgressMeter


@dataclass(frozen=True)
class VerificationReport:
    """How much was read, and what is damaged. `old`: how many artifacts are of which other version of folio, which are not reused."""

    artifacts: int
    size: int
    old: dict[str, int]
    damaged: tuple[Damaged, ...]


def verify_artifacts(store: Store) -> VerificationReport:
    """Read every file and compare it with its record, showing progress."""
    journal = Journal(store)
    runs = journal.records()
    locations = [location for stage in store.index.stages() for location in store.index.locations(stage)]
    found = {location: store.index.read(location) for location in locations}
    artifacts = [artifact for artifact in found.values() if isinstance(artifact, Artifact)]
    damaged = {location: read for location, read in found.items() if isinstance(read, Damaged) and not isinstance(read, OtherFormat)}
    for location, artifact in found.items():
        if isinstance(artifact, Artifact) and (problems := tuple(_record_problems(store, location, artifact))):
            damaged[location] = Damaged(location, problems)
    meter = ProgressMeter("verify")
    sound = [artifact for location, artifact in found.items() if isinstance(artifact, Artifact) and location not in damaged]
    for done, (artifact, problems) in enumerate(store.integrity.examine(sound), start=1):
        if problems:
            damaged[artifact.location] = Damaged(artifact.location, problems)
        meter.show(done, len(sound), "artifacts")
    if not any(journal.alive(run) for run in runs):
        stages = {artifact.stage for artifact in artifacts} | {recorded.stage for run in runs for recorded in run.positions.values()}
        damaged |= {waste.path: Damaged(waste.path, (f"{RECORD} is missing",)) for waste in folders_without_record(store, stages)}
    for recipe in sorted({run.recipe for run in runs}):
        for recorded in journal.latest_positions(recipe).values():
            if store.index.read(recorded.location) is None and recorded.location not in damaged:
                damaged[recorded.location] = Damaged(recorded.location, (f"it is gone, and the newest run of {recipe} used it",))
    size = sum(file.size for artifact in artifacts for file in artifact.files)
    old = Counter(age for read in found.values() if (age := age_of(store, read)))
    return VerificationReport(len(artifacts), size, dict(old), tuple(damaged[location] for location in sorted(damaged)))


def _record_problems(store: Store, location: str, artifact: Artifact) -> Iterator[str]:
    if artifact.location != location:
        yield f"{RECORD} belongs to {artifact.location}"
    elif artifact.digest != content_digest(artifact.files):
        yield f"the digest in {RECORD} does not match its list of files"
    elif artifact.trace:
        for name in dict.fromkeys((artifact.trace, artifact.marks)):
            if read_trace(store, name) is None:
                yield f"{TRACES}/{name}.json, which says what it has read, is missing or damaged"
