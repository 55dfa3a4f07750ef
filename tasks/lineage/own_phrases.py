"""Find a document's own phrases: those in no other document of the store, so a search for them finds only its words.

Another document with at least half of the phrases is a copy: its phrases stay, and it is named. Cost: one read of the
texts of every corpus artifact in the store; memory: the phrases of one document, and those that each other document shares.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass

from data.provenance.tables import document_texts, text_of
from data.searching.phrases import Phrases, unescape
from tasks.lineage.inspections import is_table
from tasks.lineage.snapshot import StoreSnapshot
from tasks.stage.store.artifact import Artifact

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
