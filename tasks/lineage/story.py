"""The story of a document: where it came from, what each stage made of it, what each rule did, and its text after every stage.

Guarantees: told from the files that the stages of one run left, wherever they lie; of a document that was taken out whole, its text as it
came to the stage that took it. Costs reading the row groups that hold the document; memory goes with the longest of those.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from data.documents.ledger import CLOSING
from data.documents.schema import document_id
from data.provenance.edits import EDITS_FILE, Change, merge_changes, removed_file, split_lines
from data.provenance.tables import Document, SharedText, find_shared_text, quarantined, rows_of, text_of
from tasks.lineage.chain import Chain, chain_of, has, newest_of_each_recipe
from tasks.lineage.holdings import SPLITS
from tasks.lineage.things import DOCUMENTS, MOST, Library, documents_in, find_document, words_of
from tasks.stage.store.artifact import Artifact

LEDGER, QUARANTINE, LOOKED_AT = "ledger.parquet", "quarantine.parquet", 20_000
_ID = re.compile(r"\b[0-9a-f]{16}\b")


@dataclass(frozen=True)
class Step:
    """A stage of the document's way. `told`: its rows of the ledger, the closing one last; `text`: as it left the stage, if it did."""

    stage: str
    artifact: Artifact
    told: tuple[dict[str, Any], ...]
    text: str | None
    changes: tuple[Change, ...] = ()
    splits: tuple[str, ...] = ()
    kin: SharedText = field(default_factory=SharedText)

    @property
    def fate(self) -> dict[str, Any]:
        """The closing row."""
        return self.told[-1] if self.told else {"action": "kept" if self.text is not None else "", "rule": "", "detail": ""}


@dataclass(frozen=True)
class Story:
    """A document's way through the corpus of a run. `names`: what other documents that its ledgers name are called."""

    chain: Chain
    document: Document
    metadata: dict[str, Any]
    steps: tuple[Step, ...]
    names: dict[str, str]
    quarantine: str = ""

    @property
    def first(self) -> str:
        """The text as it was read; "" when it wasn't."""
        return (self.steps[0].text or "") if self.steps else ""

    @property
    def last(self) -> str:
        """The text as it was left: by the last stage that it came through."""
        return next((step.text for step in reversed(self.steps) if step.text is not None), "")

    def text_before(self, step: Step) -> str:
        """The text that came to a step."""
        texts = [earlier.text for earlier in self.steps[: self.steps.index(step)] if earlier.text is not None]
        return texts[-1] if texts else ""


def find_story(library: Library, text: str, recipe: str = "") -> Story:
    """The story of the document or the quarantined file that `text` means in the newest run of a recipe, or in that of any recipe.

    Raises LookupError with the candidates when it means several, or with names that are near when it means none.
    """
    looked = [chain_of(library, recipe)] if recipe else newest_of_each_recipe(library) or [chain_of(library)]
    for chain in looked:
        if found := find_document(library, text, chain.stages.get("ingest", ())):
            return story(chain, found[0])
        if aside := [(document, why) for document, why in _put_aside(chain) if document.is_called(text)]:
            if len(aside) > 1:
                listed = "".join(f"\n  {words_of(document)}: {why}" for document, why in aside[:MOST])
                raise LookupError(f"{text!r} means {len(aside)} files that were put aside; give the id of one:{listed}")
            document, why = aside[0]
            return story(chain, document, why)
    raise LookupError(_nobody(looked, text))


def _put_aside(chain: Chain) -> Iterable[tuple[Document, str]]:
    for artifact in chain.stages.get("ingest", ()):
        if has(artifact, QUARANTINE):
            for source, path, reason in chain.ask(artifact, QUARANTINE, lambda stream: list(quarantined(stream))):
                yield Document(document_id(source, path), source, path, PurePosixPath(path).name), reason


def _nobody(looked: list[Chain], text: str) -> str:
    known = (document for chain in looked for _, document in documents_in(chain.library, chain.stages.get("ingest", ())))
    names = {name: document for document in islice(known, LOOKED_AT) for name in (document.title, document.path) if name}
    folded = text.casefold()
    near = [name for name in names if folded in name.casefold()]
    near += get_close_matches(text, [name for name in names if name not in near], MOST, 0.6)
    listed = "".join(f"\n  {words_of(document)}" for document in list(dict.fromkeys(names[name] for name in near))[:MOST])
    where = ", ".join(chain.run.recipe for chain in looked)
    hint = f" These are near:{listed}" if listed else ""
    return f"No document that {where} read is called {text!r}; give its id, its path, its file's name or its title.{hint}"


def story(chain: Chain, document: Document, quarantine: str = "") -> Story:
    """What became of a document."""
    steps: list[Step] = []
    for stage in chain.stages:
        text = next((step.text for step in reversed(steps) if step.text is not None), "")
        if (step := _step(chain, stage, document.id, text)) is not None:
            steps.append(step)
    row = next(
        (row for artifact in chain.stages.get("ingest", ()) for row in _rows(chain, artifact, DOCUMENTS, document.id, ("id", "metadata"))),
        None,
    )
    metadata = json.loads(row["metadata"]) if row else {}
    for artifact in (artifact for stage, held in chain.stages.items() if stage != "ingest" for artifact in held):
        # Later stages know more of it than ingest did: its language, for one.
        for later in _rows(chain, artifact, DOCUMENTS, document.id, ("id", "metadata")):
            metadata |= json.loads(later["metadata"])
    named = {other for step in steps for row in step.told for other in _ID.findall(row["detail"])}
    named |= {other for step in steps for change in step.changes for touch in change.touches for other in _ID.findall(touch.detail)}
    named |= {other for step in steps for other in step.kin.duplicates}
    return Story(chain, document, metadata, tuple(steps), names_of(chain, named - {document.id}), quarantine)


def names_of(chain: Chain, wanted: Iterable[str]) -> dict[str, str]:
    """What documents are called in the sources of a run."""
    left = set(wanted)
    return {
        known.id: known.name for _, known in documents_in(chain.library, chain.stages.get("ingest", ()) if left else ()) if known.id in left
    }


def _step(chain: Chain, stage: str, identity: str, came: str) -> Step | None:
    for artifact in chain.stages[stage]:
        told = _rows(chain, artifact, LEDGER, identity)
        told.sort(key=lambda row: row["action"] in CLOSING)
        tables = {file: chain.ask(artifact, file, partial(text_of, identity=identity)) for file in _tables(artifact)}
        texts = {file: text for file, text in tables.items() if text}
        if not told and not texts:
            continue
        edits = _rows(chain, artifact, EDITS_FILE, identity)
        taken = {rule: _pieces(chain, artifact, rule, identity) for rule in dict.fromkeys(row["rule"] for row in told)}
        return Step(
            stage,
            artifact,
            tuple(told),
            next(iter(texts.values()), None),
            tuple(merge_changes(edits, taken, split_lines(came))),
            tuple(split for split in SPLITS if f"{split}.parquet" in texts),
            chain.ask(artifact, LEDGER, partial(find_shared_text, identity=identity))
            if stage == "dedup" and has(artifact, LEDGER)
            else SharedText(),
        )
    return None


def _tables(artifact: Artifact) -> list[str]:
    return [file for file in (DOCUMENTS, *(f"{split}.parquet" for split in SPLITS)) if has(artifact, file)]


def _rows(chain: Chain, artifact: Artifact, file: str, identity: str, columns: tuple[str, ...] | None = None) -> list[dict[str, Any]]:
    return chain.ask(artifact, file, lambda stream: list(rows_of(stream, identity, columns))) if has(artifact, file) else []


def _pieces(chain: Chain, artifact: Artifact, rule: str, identity: str) -> list[dict[str, Any]]:
    """What a rule took out of the document; the whole document is told by the ledger."""
    return [row for row in _rows(chain, artifact, removed_file(rule), identity) if row["place"] > 0]
