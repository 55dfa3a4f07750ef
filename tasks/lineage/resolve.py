"""Resolve a name to what it means in a store: an artifact, a file, a run, a registered model or a document.

Only the store is asked, so this works without MLflow and Prefect. If a name has several meanings, artifacts win.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data.provenance.tables import IngestedDocument
from tasks.lineage.corpus_run import MAX_CANDIDATES, describe_document, find_document
from tasks.lineage.graph import StoreSnapshot, sinks
from tasks.stage.identity.digests import hash_file
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.journal import RegisteredModel, RunRecord


@dataclass(frozen=True)
class Subject:
    """The target of a name. `description`: one line for a person; `roots`: the artifacts where its lineage starts."""

    kind: Literal["artifact", "file", "run", "model", "document"]
    description: str
    roots: tuple[Artifact, ...]
    document: IngestedDocument | None = None
    run: RunRecord | None = None
    registered: RegisteredModel | None = None


def resolve(snapshot: StoreSnapshot, text: str) -> Subject:
    """Return what `text` means. Raise LookupError if it means nothing, or several documents."""
    graph, path = snapshot.graph, Path(text).expanduser().resolve()
    if artifacts := graph.find(text):
        return Subject("artifact", "", artifacts)
    if model := _registered_model(snapshot, text):
        return model
    if run := snapshot.journal.find(text):
        return _run(snapshot, run)
    if text and path.exists() and (owner := graph.containing(path)):
        return Subject("file" if path.is_file() else "artifact", f"{path} is in {owner.location}", (owner,))
    # Empty files are equal whoever made them.
    if path.is_file() and path.stat().st_size and (owners := graph.with_content(hash_file(path))):
        also = f"; the same bytes are in {', '.join(a.location for a in owners[1:MAX_CANDIDATES])}" if len(owners) > 1 else ""
        return Subject("file", f"{path} is a copy of a file of {owners[0].location}{also}", (owners[0],))
    if text and (found := find_document(snapshot, text)):
        document, readers = found
        return Subject("document", describe_document(document), tuple(readers), document=document)
    if text and path.exists():
        raise LookupError(not_made_by_folio(snapshot, path))
    raise LookupError(
        f"Nothing in the store is called {text!r}: give a location such as clean/universe or clean/universe-1a2b3c4d, a key, a digest, "
        "a file, a run's id or recipe, a registered model such as folio-universe/2 or folio-universe@champion, "
        "or a document's id, path or title."
    )


def not_made_by_folio(snapshot: StoreSnapshot, path: Path) -> str:
    """Say that folio did not make a file or folder, and what was looked for."""
    artifacts = len(snapshot.graph.by_address)
    url = snapshot.store.url
    if not path.is_file():
        kind = "folder" if path.is_dir() else "file"
        return f"{path} was not made by folio: it is no {kind} of the {artifacts} artifacts in {url}, and no document was read from it."
    return (
        f"{path} was not made by folio: its sha256, {hash_file(path)[:16]}..., is that of no file of the {artifacts} artifacts in {url}, "
        "and no document was read from a file of this path."
    )


def _run(snapshot: StoreSnapshot, run: RunRecord) -> Subject:
    by_address = snapshot.graph.by_address
    known = [by_address[recorded.address] for recorded in run.positions.values() if recorded.address in by_address]
    missing = len(run.positions) - len(known)
    lost = f"; the records of {missing} of its {len(run.positions)} artifacts are gone" if missing else ""
    alive = "" if run.status != "running" or snapshot.journal.alive(run) else ", but its process is gone"
    description = f"run {run.id} of {run.recipe}: {run.status}{alive}, started {run.started[:19]}{lost}"
    return Subject("run", description, tuple(sinks(known)), run=run)


def registered_versions(runs: Iterable[RunRecord]) -> list[tuple[RegisteredModel, RunRecord]]:
    """Return every registered version with the newest run that registered it. `runs`: newest first.

    An alias is shown only on the version that received it last.
    """
    versions: dict[tuple[str, str], tuple[RegisteredModel, RunRecord]] = {}
    aliased: dict[tuple[str, str], str] = {}
    for run in runs:
        for model in run.registered:
            aliased.setdefault((model.name, model.alias), model.version)
            alias = model.alias if aliased[model.name, model.alias] == model.version else ""
            # Until MLflow was told of a run, its model has no version.
            versions.setdefault((model.name, model.version or model.digest), (model.model_copy(update={"alias": alias}), run))
    return list(versions.values())


def _registered_model(snapshot: StoreSnapshot, text: str) -> Subject | None:
    """Find a registered model by `name` (its newest version), `name/version` or `name@alias`."""
    for model, run in registered_versions(snapshot.journal.records()):
        if text in (model.name, f"{model.name}/{model.version}", f"{model.name}@{model.alias}" if model.alias else model.name):
            candidates = [a for a in snapshot.graph.newest_first if a.digest == model.digest]
            candidates.sort(key=lambda a: a.location != model.location)
            if not candidates:
                raise LookupError(f"{model.name} version {model.version} is {model.location}, whose record is gone from the store.")
            alias = f" ({model.alias})" if model.alias else ""
            description = f"{model.name} version {model.version}{alias}, registered by run {run.id}"
            return Subject("model", description, (candidates[0],), registered=model)
    return None
