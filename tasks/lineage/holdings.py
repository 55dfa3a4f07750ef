"""Find a document: every artifact of a store that has its words, learned from it, or was only measured on it.

Each artifact is judged by its stage's hook, after its inputs. A take-down must miss nothing, so a doubtful artifact counts as holding the
document and is marked as not certain: an unknown stage, a missing record of an input, missing files.
Cost: one read of the id columns of every corpus artifact in the store.

Find a document's own phrases: those in no other document of the store, so a search for them finds only its words.

Another document with at least half of the phrases is a copy: its phrases stay, and it is named. Cost: one read of the
texts of every corpus artifact in the store; memory: the phrases of one document, and those that each other document shares.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from data.provenance.tables import IngestedDocument, document_texts, text_of
from data.searching.decoding import WEIGHTS
from data.searching.phrases import Phrases, unescape
from tasks.lineage.graph import StoreSnapshot
from tasks.lineage.hook import Holding, Inspection, is_table, tables_of
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
    """The holdings of an input, with paths relative to the part that the reader was given."""
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


COPY = 0.5


@dataclass(frozen=True)
class OwnPhrases:
    """`all`: count of the document's phrases, including those that others share; `copies`: id -> its share of them."""

    phrases: Phrases
    all: int
    copies: dict[str, float]


def own_phrases(snapshot: StoreSnapshot, identity: str, twins: Collection[str] = ()) -> OwnPhrases:
    """Return a document's phrases in every version that stages made. `twins`: documents removed with it, whose phrases are kept."""
    texts: dict[str, None] = {}
    for artifact, file in _corpus_tables(snapshot):
        with suppress(FileNotFoundError), snapshot.open(artifact, file) as stream:
            texts |= dict.fromkeys([text] if (text := text_of(stream, identity)) else [])
    return less_others(snapshot, Phrases.of(texts), (identity, *twins))


def less_others(snapshot: StoreSnapshot, phrases: Phrases, but: Collection[str] = ()) -> OwnPhrases:
    """Return the phrases that appear in no other document; `but` and copies may have them."""
    shared: dict[str, set[int]] = {}
    for artifact, file in _corpus_tables(snapshot) if len(phrases) else ():
        with suppress(FileNotFoundError), snapshot.open(artifact, file) as stream:
            for other, text in document_texts(stream):
                if other not in but and (found := phrases.find(unescape(text)).hashes):
                    shared.setdefault(other, set()).update(found)
    copies = {other: len(found) / len(phrases) for other, found in shared.items() if len(found) >= COPY * len(phrases)}
    others = set[int]().union(*(found for other, found in shared.items() if other not in copies))
    return OwnPhrases(phrases.without(others), len(phrases), copies)


def _corpus_tables(snapshot: StoreSnapshot) -> Iterator[tuple[Artifact, str]]:
    """Every table of documents that a corpus stage wrote, equal ones once."""
    seen: set[str] = set()
    for artifact in snapshot.graph.newest_first:
        if snapshot.hook(artifact).in_corpus:
            for file in artifact.files:
                if is_table(file.path) and file.sha256 not in seen:
                    seen.add(file.sha256)
                    yield artifact, file.path
