"""Handwritten artifacts and runs, for tests of code that reads them."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.stage.store.artifact import Artifact, Cost, InputRecord, Origin, content_digest, list_files
from tasks.stage.store.index import ADDRESS_DIGITS
from tasks.stage.store.journal import Journal, PositionRecord, RunRecord
from tasks.stage.store.origin import now
from tasks.stage.store.store import Store
from tasks.stage.store.verdicts import Acceptance, save
from tasks.stage.system.locks import Lock


def written(folder: Path, contents: Mapping[str, bytes]) -> Path:
    """A folder with these files."""
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def artifact(
    folder: Path,
    *,
    stage: str = "clean",
    label: str = "toys",
    name: str = "one",
    inputs: Mapping[str, InputRecord] | None = None,
    metrics: Mapping[str, float] | None = None,
    run_id: str = "",
    seconds: float = 1.0,
    config: Mapping[str, Any] | None = None,
    ingredients: Mapping[str, str] | None = None,
    trace: str = "",
) -> Artifact:
    """The record of a folder; `name` decides its key, which is its address, too."""
    key = hashlib.sha256(f"{stage} {name}".encode()).hexdigest()
    files = list_files(folder)
    return Artifact(
        stage=stage,
        label=label,
        key=key,
        trace=trace,
        marks=trace,
        digest=content_digest(files),
        location=f"{stage}/{label}-{key[:ADDRESS_DIGITS]}",
        files=files,
        config=dict(config or {}),
        ingredients=dict(ingredients or {}),
        inputs=dict(inputs or {}),
        metrics=dict(metrics or {}),
        cost=Cost(wall_seconds=seconds, cpu_seconds=2 * seconds),
        origin=Origin(created=now(), host="h", device="d", git_commit="abc", git_dirty=False, packages={}, mlflow_run_id=run_id),
    )


def accepted(store: Store, made: Artifact, key: str, reason: str) -> Acceptance:
    """Accept an artifact in place of one with another key, which was not made."""
    acceptance = Acceptance(
        stage=made.stage,
        position=made.stage,
        recipe=made.label,
        key=key,
        instead=made.address,
        trace="t" * 64,
        changes={},
        ingredients={},
        causes=(),
        reason=reason,
        who="me",
        when=now(),
    )
    save(store, acceptance)
    return acceptance


def committed(store: Store, contents: Mapping[str, bytes], **described: object) -> Artifact:
    """An artifact with these files, in the store."""
    made = written(store.scratch("by-hand") / "output", contents)
    return commit(store, made, artifact(made, **described))  # type: ignore[arg-type]


def commit(store: Store, made: Path, record: Artifact) -> Artifact:
    """Commit a folder in place of what is committed there, as the only writer."""
    before = store.index.read(record.location)
    return store.commit(made, record, OnlyWriter(uuid.uuid4().hex), before if isinstance(before, Artifact) else None)


class OnlyWriter(Lock):
    """The lock of somebody who knows that nobody else writes; leaves no file."""

    def held(self) -> bool:
        """True."""
        return True


def ran(store: Store, number: int, *artifacts: Artifact, recipe: str = "toys", status: str = "finished", **more: object) -> RunRecord:
    """A run in the journal, long before anything that tests make; a higher number is a later one."""
    places = {
        a.stage: PositionRecord(stage=a.stage, key=a.key, address=a.address, digest=a.digest, location=a.location, action="executed")
        for a in artifacts
    }
    described = {
        "id": f"20200101T00{number:04}-000000",
        "started": f"2020-01-01T00:{number // 60:02}:{number % 60:02}.000000+00:00",
        **{"recipe": recipe, "status": status, "host": "h", "pid": 7, "git_commit": "", "git_dirty": False, "configuration": {}},
        **{"places": places, **more},
    }
    record = RunRecord.model_validate(described)
    Journal(store).write(record)
    return record
