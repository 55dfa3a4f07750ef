"""Where a document is: every artifact of a store that has its words, learned from it, or was only measured on it.

Each artifact is judged by its stage's hook, after its inputs. A take-down must miss nothing, so a doubtful artifact counts as holding the
document and is marked as not certain: an unknown stage, a missing record of an input, missing files.
Cost: one read of the id columns of every corpus artifact in the store.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from data.provenance.tables import IngestedDocument, text_of
from data.searching.decoding import WEIGHTS
from tasks.lineage.hook import Holding, Inspection
from tasks.lineage.inspections import tables_of
from tasks.lineage.snapshot import StoreSnapshot
from tasks.stage.store.artifact import Artifact, InputRecord


def find_holdings(snapshot: StoreSnapshot, document: IngestedDocument) -> list[Holding]:
    """Judge every artifact of the store; return the findings in order of creation."""
    known: dict[str, Holding] = {}
    taught: dict[str, str] = {}  # sha256 of weights that learned from it -> where they lie
    texts: list[str] = []

    def text() -> str:
        if not texts:
            texts.append(_find_text(snapshot, document.id))
        return texts[0]

    for artifact in _inputs_first(snapshot):
        inputs = {name: _as_input(source, known, artifact) for name, source in artifact.inputs.items()}
        inspection = Inspection(document, artifact, inputs, snapshot.open, text)
        try:
            known[artifact.address] = snapshot.hook(artifact).inspect(inspection)
        except FileNotFoundError as error:
            parts = {""} if inspection.reached else set[str]()
            known[artifact.address] = inspection.holding(parts, certain=False, detail=f"{error.filename or error} is gone")
        if source := next((taught[digest] for digest in _files_read(artifact) if digest in taught), ""):
            found = known[artifact.address]
            known[artifact.address] = replace(found, learned=True, certain=True, detail=f"made from a copy of {source}")
        if known[artifact.address].learned:
            taught |= {file.sha256: artifact.location for file in artifact.files if PurePosixPath(file.path).suffix in WEIGHTS}
    return sorted(known.values(), key=lambda holding: holding.artifact.origin.created)


def _files_read(artifact: Artifact) -> Iterator[str]:
    """The sha256 of the local files that an artifact was made from, such as those of a model that was released before."""
    return (value for name, value in artifact.ingredients.items() if name.startswith("observed."))


def _inputs_first(snapshot: StoreSnapshot) -> list[Artifact]:
    """Every artifact after its inputs. Dates do not give that order: an artifact made again is newer than what was made from it."""
    ordered: dict[str, Artifact] = {}
    by_address = snapshot.graph.by_address
    for first in reversed(snapshot.graph.newest_first):
        stack = [first]
        while stack:
            current = stack[-1]
            before = [by_address[i.address] for i in current.inputs.values() if i.address in by_address and i.address not in ordered]
            if current.address in ordered or not before:
                ordered.setdefault(current.address, stack.pop())
            else:
                stack += before
    return list(ordered.values())


def _as_input(source: InputRecord, known: Mapping[str, Holding], reader: Artifact) -> Holding:
    """What an input holds, with paths relative to the part that the reader was given."""
    holding = known.get(source.address)
    if holding is None:
        return Holding(reader, frozenset({""}), learned=True, certain=False, detail=f"the record of {source.location} is gone")
    if not source.part:
        return holding
    below = source.part.rstrip("/") + "/"
    inside = {part.removeprefix(below) if part.startswith(below) else "" for part in holding.parts
              if part == source.part or part.startswith(below) or part == ""}  # fmt: skip
    return replace(holding, parts=frozenset(inside))


def _find_text(snapshot: StoreSnapshot, identity: str) -> str:
    """The document's text from the newest corpus artifact that has it, or ""."""
    for artifact in snapshot.graph.newest_first:
        if not snapshot.hook(artifact).in_corpus:
            continue
        for file in tables_of(artifact):
            with snapshot.open(artifact, file) as stream:
                if text := text_of(stream, identity):
                    return text
    return ""


def holding_json(holding: Holding) -> dict[str, object]:
    """Return a holding as plain data."""
    artifact = holding.artifact
    named = {"stage": artifact.stage, "location": artifact.location, "address": artifact.address, "digest": artifact.digest}
    judged = {"learned": holding.learned, "measured": holding.measured, "certain": holding.certain, "detail": holding.detail}
    return named | {"parts": sorted(holding.parts)} | judged
