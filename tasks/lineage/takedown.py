"""What must go for a document to be gone: what holds it, what learned from it, who shares its text, and what to do, in order."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from data.provenance.tables import Document, SharedText, documents, find_shared_text
from tasks.lineage.holdings import CORPUS, SPLITS, Holding, holdings, plain
from tasks.lineage.things import DOCUMENTS, Library, registry
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.journal import Registered, RunRecord


@dataclass(frozen=True)
class Shared:
    """How another document shares the text: `whole` when the one would stand for the other, `instead` when it does."""

    how: str
    whole: bool = False
    instead: bool = False


@dataclass(frozen=True)
class Takedown:
    """All that a takedown has to do with. `kin`: who shares the document's text, by id; `names`: what they are called.

    `through`: what learned the text from a document that was kept in this one's place.
    """

    document: Document
    read_by: tuple[Artifact, ...]
    held: tuple[Holding, ...]
    kin: dict[str, Shared]
    names: dict[str, str]
    through: tuple[Holding, ...]
    runs: tuple[RunRecord, ...]
    registered: tuple[tuple[Registered, RunRecord], ...]
    rerun: dict[str, tuple[str, ...]]
    sources: tuple[dict[str, Any], ...]

    @property
    def contains(self) -> list[Holding]:
        """Artifacts with its words."""
        return [held for held in self.held if held.parts]

    @property
    def learned(self) -> list[Holding]:
        """Models and vocabularies that learned from it."""
        return [held for held in self.held if held.learned]

    @property
    def measured(self) -> list[Holding]:
        """What was measured on it and neither holds it nor learned from it."""
        return [held for held in self.held if held.measured and not held.learned and not held.parts]

    @property
    def left(self) -> list[Holding]:
        """Where it left the corpus, by the ledgers; its words may lie there still, among what was removed."""
        went_on = {"", DOCUMENTS, *(f"{split}.parquet" for split in SPLITS)}
        return [held for held in self.held if held.artifact.stage in CORPUS and held.detail and not held.parts & went_on]

    @property
    def without(self) -> list[str]:
        """Ids that must not be read again for its text to be gone: its own and those of its duplicates."""
        return [self.document.id, *(identity for identity, shared in self.kin.items() if shared.whole)]


def takedown(library: Library, document: Document, read_by: Iterable[Artifact]) -> Takedown:
    """Judge every artifact, run and registered model of a store."""
    readers = tuple(read_by)
    held = holdings(library, document)
    shared = _kin(library, held, document)
    names = _names(library, set(shared))
    kept = [names[identity] for identity, how in shared.items() if how.instead and identity in names]
    through = {h.artifact.key: h for other in kept for h in holdings(library, other) if h.learned}
    touched = through | {h.artifact.key: h for h in held if h.touched}
    journal = library.journal.records()
    runs = [run for run in journal if any(place.key in touched for place in run.places.values())]
    retired = {h.artifact.digest for h in touched.values() if h.learned or h.parts}
    registered = tuple((model, run) for model, run in registry(journal) if model.digest in retired)
    sources = {json.dumps(s, sort_keys=True): s for reader in readers for s in reader.config.get("sources", ()) if _is_of(s, document)}
    return Takedown(
        document=document,
        read_by=readers,
        held=tuple(held),
        kin=shared,
        names={other.id: f"{other.name}, {other.title!r}" for other in names.values()},
        through=tuple(through.values()),
        runs=tuple(runs),
        registered=registered,
        rerun=_rerun(library, runs, readers),
        sources=tuple(sources.values()),
    )


def _is_of(source: dict[str, Any], document: Document) -> bool:
    return document.source in (source.get("name") or source.get("package") or source.get("kind"), source.get("kind"))


def _kin(library: Library, held: Iterable[Holding], document: Document) -> dict[str, Shared]:
    found: dict[str, Shared] = {}
    for h in held:
        if h.artifact.stage != "dedup" or not any(file.path == "ledger.parquet" for file in h.artifact.files):
            continue
        try:
            with library.open(h.artifact, "ledger.parquet") as stream:
                told: SharedText = find_shared_text(stream, document.id)
        except FileNotFoundError:
            continue
        if told.kept_instead:
            found[told.kept_instead] = Shared(f"was kept in its place ({told.why}): its text lives on there", True, True)
        found |= dict.fromkeys(told.duplicates, Shared("was removed as its duplicate and would take its place", True))
        found = dict.fromkeys(told.passages_kept_in, Shared("keeps the first copy of passages that both had")) | found
        found = dict.fromkeys(told.passages_taken_from, Shared("lost copies of its passages and would keep them")) | found
    return found


def _names(library: Library, wanted: set[str]) -> dict[str, Document]:
    found: dict[str, Document] = {}
    for artifact in library.graph.newest:
        if artifact.stage == "ingest" and wanted - set(found):
            try:
                with library.open(artifact, DOCUMENTS) as stream:
                    found |= {known.id: known for known in documents(stream) if known.id in wanted}
            except FileNotFoundError:
                continue
    return found


def _rerun(library: Library, runs: Iterable[RunRecord], readers: tuple[Artifact, ...]) -> dict[str, tuple[str, ...]]:
    """Recipe -> places of its newest affected run that are made from what read the document."""
    below = {artifact.key for artifact in library.graph.descendants(*readers)}
    found: dict[str, tuple[str, ...]] = {}
    for run in runs:
        found.setdefault(run.recipe, tuple(place for place, made in run.places.items() if made.key in below))
    if not found:
        # Runs from before the journal are known by their artifacts' labels.
        for artifact in sorted((a for a in library.graph.by_key.values() if a.key in below), key=lambda a: a.origin.created):
            recipe, _, where = artifact.label.partition("-")
            place = f"{artifact.stage}[{where}]" if artifact.ingredients.get("shard") else f"{artifact.stage}{where and '.'}{where}"
            found[recipe] = tuple(dict.fromkeys((*found.get(recipe, ()), place)))
    return found


def ways(told: Takedown) -> list[str]:
    """What to do, in order, in a person's words."""
    document, without = told.document, json.dumps(told.without)
    steps = []
    others = [told.names.get(identity, identity) for identity in told.without[1:]]
    twins = f"; the same for {', '.join(others)}" if others else ""
    kinds = {source.get("kind") for source in told.sources}
    if "files" in kinds:
        joined = f" (it was joined from {document.parts} files)" if document.parts > 1 else ""
        steps.append(f"delete or move the file {document.path} of source {document.source}{joined}, below the recipe's root{twins}")
    if "package" in kinds and document.parts == 1:
        globs = json.dumps([glob.escape(document.path)])
        steps.append(f"{'or ' if steps else ''}exclude it from source {document.source}: exclude: {globs}{twins}")
    steps.append(f"{'or ' if steps else ''}never read it again, whatever its source: ingest.without: {without}")
    for recipe, places in told.rerun.items():
        steps.append(f"see what that changes: folio plan {recipe} --set 'ingest.without={without}'")
        steps.append(f"make it anew, with the same in its file: folio run {recipe}; may run again: {', '.join(places)}")
    steps.append("then remove the old artifacts: folio gc --delete")
    for model, _ in told.registered:
        alias = f", which is {model.alias}" if model.alias else ""
        steps.append(f"retire version {model.version} of {model.name} in the model registry{alias}, and every copy that was handed out")
    if any(held.artifact.stage == "evaluate" for held in told.contains):
        steps.append("delete the reports of those runs, here and in MLflow: their samples quote it")
    return steps


def data(told: Takedown) -> dict[str, Any]:
    """A takedown for machines."""
    return {
        "document": {"id": told.document.id, "source": told.document.source, "path": told.document.path, "title": told.document.title},
        "read_by": [artifact.location for artifact in told.read_by],
        "contains": [plain(held) for held in told.contains],
        "learned_from_it": [plain(held) for held in told.learned],
        "learned_from_what_was_kept_in_its_place": [plain(held) for held in told.through],
        "only_measured_on_it": [plain(held) for held in told.measured],
        "left_the_corpus": [plain(held) for held in told.left],
        "shares_text": [{"id": identity, "name": told.names.get(identity, ""), "how": shared.how} for identity, shared in told.kin.items()],
        "without": told.without,
        "runs": [{"id": run.id, "recipe": run.recipe, "started": run.started, "mlflow_run_id": run.mlflow_run_id} for run in told.runs],
        "registered": [model.model_dump() | {"run": run.id} for model, run in told.registered],
        "rerun": {recipe: list(places) for recipe, places in told.rerun.items()},
        "steps": ways(told),
    }
