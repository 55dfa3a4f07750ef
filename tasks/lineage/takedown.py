"""What must go for a document to be gone, by lineage: what holds it, what learned from it, which documents share its text."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from data.documents.sharding import DOCUMENTS, text_digest
from data.provenance.tables import IngestedDocument, find_shared_text, rows_of
from tasks.lineage.corpus_run import read_documents
from tasks.lineage.graph import StoreSnapshot
from tasks.lineage.holdings import find_holdings
from tasks.lineage.hook import LEDGER, Holding, is_table
from tasks.lineage.resolve import registered_versions
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.journal import RegisteredModel, RunRecord


@dataclass(frozen=True)
class Relation:
    """Another document that shares the text.

    `whole`: it would take the document's place, or has taken it; `kept_instead`: it has.
    """

    how: str
    whole: bool = False
    kept_instead: bool = False


@dataclass(frozen=True)
class Takedown:
    """Everything that a take-down of a document is concerned with.

    `related`: id -> the documents that share its text; `names`: id -> what they are called; `left_corpus`: where stages removed it, though
    its words may still be among what they removed; `learned_elsewhere`: what learned its text from a duplicate that was kept instead;
    `rerun`: recipe -> positions that may run again; `sources`: the recipe's sources that read it; `digests`: id -> sha256 of the text, of
    records, which their place doesn't name for long.
    """

    document: IngestedDocument
    read_by: tuple[Artifact, ...]
    holdings: tuple[Holding, ...]
    left_corpus: tuple[Holding, ...]
    related: dict[str, Relation]
    names: dict[str, str]
    learned_elsewhere: tuple[Holding, ...]
    runs: tuple[RunRecord, ...]
    registered: tuple[tuple[RegisteredModel, RunRecord], ...]
    rerun: dict[str, tuple[str, ...]]
    sources: tuple[dict[str, Any], ...]
    quoted_in_reports: bool
    digests: dict[str, str]

    @property
    def contains(self) -> list[Holding]:
        """Artifacts with its words."""
        return [holding for holding in self.holdings if holding.parts]

    @property
    def learned(self) -> list[Holding]:
        """Models and vocabularies that learned from it."""
        return [holding for holding in self.holdings if holding.learned]

    @property
    def measured(self) -> list[Holding]:
        """Artifacts measured on it that neither hold it nor learned from it."""
        return [holding for holding in self.holdings if holding.measured and not holding.learned and not holding.parts]

    @property
    def without(self) -> list[str]:
        """Ids that must never be read again: the document's own and its duplicates'."""
        return [self.document.id, *(identity for identity, relation in self.related.items() if relation.whole)]

    @property
    def never_read(self) -> list[str]:
        """What `ingest.without` must name: digests of records, ids of other documents."""
        return [self.digests.get(identity, identity) for identity in self.without]


def plan_takedown(snapshot: StoreSnapshot, document: IngestedDocument, read_by: Iterable[Artifact]) -> Takedown:
    """Judge every artifact, run and registered model of a store. Nothing is changed."""
    readers = tuple(read_by)
    holdings = find_holdings(snapshot, document)
    related = _related(snapshot, holdings, document)
    names = _documents(snapshot, set(related))
    kept = [names[identity] for identity, relation in related.items() if relation.kept_instead and identity in names]
    elsewhere = {h.artifact.address: h for other in kept for h in find_holdings(snapshot, other) if h.learned}
    affected = elsewhere | {h.artifact.address: h for h in holdings if h.affected}
    journal = snapshot.journal.records()
    runs = [run for run in journal if any(recorded.address in affected for recorded in run.positions.values())]
    to_retire = {h.artifact.digest for h in affected.values() if h.learned or h.parts}
    registered = tuple((model, run) for model, run in registered_versions(journal) if model.digest in to_retire)
    sources = {json.dumps(s, sort_keys=True): s for reader in readers for s in reader.config.get("sources", ()) if _is_of(s, document)}
    return Takedown(
        document=document,
        read_by=readers,
        holdings=tuple(holdings),
        left_corpus=tuple(h for h in holdings if snapshot.hook(h.artifact).in_corpus and _left(h)),
        related=related,
        names={other.id: f"{other.name}, {other.title!r}" for other in names.values()},
        learned_elsewhere=tuple(elsewhere.values()),
        runs=tuple(runs),
        registered=registered,
        rerun=_rerun(snapshot, runs, readers),
        sources=tuple(sources.values()),
        digests=_digests(snapshot, {other.id for other in (document, *names.values()) if other.is_record}),
        quoted_in_reports=any(h.parts and snapshot.hook(h.artifact).quoted_in_report for h in holdings),
    )


def _left(holding: Holding) -> bool:
    """Whether a corpus stage removed the document, by its ledger."""
    return bool(holding.detail) and not any(part == "" or is_table(part) for part in holding.parts)


def _is_of(source: dict[str, Any], document: IngestedDocument) -> bool:
    return document.source in (source.get("name") or source.get("package") or source.get("kind"), source.get("kind"))


def _related(snapshot: StoreSnapshot, holdings: Iterable[Holding], document: IngestedDocument) -> dict[str, Relation]:
    found: dict[str, Relation] = {}
    for artifact in (holding.artifact for holding in holdings if snapshot.hook(holding.artifact).finds_duplicates):
        if not any(file.path == LEDGER for file in artifact.files):
            continue
        try:
            with snapshot.open(artifact, LEDGER) as stream:
                shared = find_shared_text(stream, document.id)
        except FileNotFoundError:
            continue
        if shared.kept_instead:
            found[shared.kept_instead] = Relation(f"was kept in its place ({shared.why}): its text lives on there", True, True)
        found |= dict.fromkeys(shared.duplicates, Relation("was removed as its duplicate and would take its place", True))
        found = dict.fromkeys(shared.passages_kept_in, Relation("keeps the first copy of passages that both had")) | found
        found = dict.fromkeys(shared.passages_taken_from, Relation("lost copies of its passages and would keep them")) | found
    return found


def _documents(snapshot: StoreSnapshot, ids: set[str]) -> dict[str, IngestedDocument]:
    """The documents with these ids, as far as they are still in the store."""
    found: dict[str, IngestedDocument] = {}
    for artifact in snapshot.graph.newest_first:
        if snapshot.hook(artifact).reads_sources and ids - set(found):
            found |= {document.id: document for _, document in read_documents(snapshot, [artifact]) if document.id in ids}
    return found


def _digests(snapshot: StoreSnapshot, records: set[str]) -> dict[str, str]:
    """Id -> sha256 of the text, of records whose text is still in the store."""
    found: dict[str, str] = {}
    for artifact in snapshot.graph.newest_first if records else ():
        if not snapshot.hook(artifact).reads_sources:
            continue
        for identity in sorted(records - set(found)):
            with suppress(FileNotFoundError), snapshot.open(artifact, DOCUMENTS) as stream:
                found |= {row["id"]: text_digest(row["text"]) for row in rows_of(stream, identity, ("id", "text"))}
    return found


def _rerun(snapshot: StoreSnapshot, runs: Iterable[RunRecord], readers: tuple[Artifact, ...]) -> dict[str, tuple[str, ...]]:
    """Recipe -> the positions of its newest affected run whose artifacts are made from what read the document."""
    below = {artifact.address for artifact in snapshot.graph.descendants(*readers)}
    found: dict[str, tuple[str, ...]] = {}
    for run in runs:
        found.setdefault(run.recipe, tuple(position for position, recorded in run.positions.items() if recorded.address in below))
    if not found:
        # Without a journal, positions are read from the artifacts' labels.
        for artifact in sorted((a for a in snapshot.graph.by_address.values() if a.address in below), key=lambda a: a.origin.created):
            recipe, _, where = artifact.label.partition("-")
            position = f"{artifact.stage}[{where}]" if artifact.ingredients.get("shard") else f"{artifact.stage}{where and '.'}{where}"
            found[recipe] = tuple(dict.fromkeys((*found.get(recipe, ()), position)))
    return found
