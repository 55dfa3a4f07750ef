"""The history of a document: where it came from, what each stage and each rule did to it, and its text after every stage.

It is read from the files that the stages of one run wrote. A document that was removed whole has the text with which it reached the stage
that removed it. Only row groups that hold the document are read; memory grows with the largest of them.

The tables of what rules removed from the documents of a run: which there are, how many rows each has, where they are, what is in them.

Row counts come from the files' footers; of the files that are opened only the first rows are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from data.documents.ledger import CLOSING
from data.documents.sharding import DOCUMENTS, document_id
from data.provenance.edits import EDITS_FILE, Change, is_edit_file, merge_changes, removed_file, split_lines
from data.provenance.tables import IngestedDocument, SharedText, count_rows, find_shared_text, first_rows, quarantined, rows_of, text_of
from data.shards.names import SPLITS
from tasks.lineage.corpus_run import (
    MAX_CANDIDATES,
    CorpusRun,
    corpus_runs,
    describe_document,
    find_corpus_run,
    find_document,
    has_file,
    newest_corpus_runs,
    read_documents,
)
from tasks.lineage.graph import StoreSnapshot
from tasks.lineage.hook import LEDGER, tables_of
from tasks.stage.store.artifact import Artifact
from tasks.stage.system.command_line import did_you_mean

QUARANTINE = "quarantine.parquet"
MAX_NAMES = 20_000  # documents searched for names like the one that was not found
_ID = re.compile(r"\b[0-9a-f]{16}\b")


@dataclass(frozen=True)
class Step:
    """One stage's effect. `ledger`: its rows about the document, the closing row last; `text`: as it left the stage, None if it did not."""

    stage: str
    artifact: Artifact
    ledger: tuple[dict[str, Any], ...]
    text: str | None
    changes: tuple[Change, ...] = ()
    splits: tuple[str, ...] = ()
    shared: SharedText = field(default_factory=SharedText)

    @property
    def outcome(self) -> dict[str, Any]:
        """The closing row of the ledger: kept, removed, duplicate or quarantined, and by which rule."""
        return self.ledger[-1] if self.ledger else {"action": "kept" if self.text is not None else "", "rule": "", "detail": ""}


@dataclass(frozen=True)
class DocumentHistory:
    """A document's steps through the corpus of a run. `names`: id -> name of the other documents that its ledgers mention."""

    corpus: CorpusRun
    document: IngestedDocument
    metadata: dict[str, Any]
    steps: tuple[Step, ...]
    names: dict[str, str]
    quarantine: str = ""

    @property
    def original_text(self) -> str:
        """The text as it was read; "" if it was not."""
        return (self.steps[0].text or "") if self.steps else ""

    @property
    def final_text(self) -> str:
        """The text as the last stage that kept it left it."""
        return _last_text(self.steps)

    def text_before(self, step: Step) -> str:
        """Return the text that came to a step."""
        return _last_text(self.steps[: self.steps.index(step)])


def find_history(snapshot: StoreSnapshot, text: str, recipe: str = "") -> DocumentHistory:
    """Return the history of the document or quarantined file called `text` in the newest run of a recipe, by default of any.

    Raise LookupError with the candidates if several match, or with similar names if none does.
    """
    first = find_corpus_run(snapshot, recipe) if recipe else None
    if first is not None:
        corpora = [corpus for corpus in corpus_runs(snapshot, first.run.id) if corpus.run.id == first.run.id]
    else:
        corpora = newest_corpus_runs(snapshot) or [find_corpus_run(snapshot)]
    return history_in(corpora, text)


def history_in(corpora: list[CorpusRun], text: str) -> DocumentHistory:
    """Return the history of the document or quarantined file called `text` in the first of some corpora that has one; raise likewise."""
    for corpus in corpora:
        if found := find_document(corpus.snapshot, text, corpus.sources):
            return document_history(corpus, found[0])
        if files := [(document, why) for document, why in _quarantined(corpus) if document.is_called(text)]:
            if len(files) > 1:
                listed = "".join(f"\n  {describe_document(document)}: {why}" for document, why in files[:MAX_CANDIDATES])
                raise LookupError(f"{text!r} means {len(files)} quarantined files; give the id of one:{listed}")
            document, why = files[0]
            return document_history(corpus, document, why)
    raise LookupError(_not_found(corpora, text))


def _quarantined(corpus: CorpusRun) -> Iterable[tuple[IngestedDocument, str]]:
    for artifact in corpus.sources:
        if has_file(artifact, QUARANTINE):
            for source, path, reason in corpus.read(artifact, QUARANTINE, lambda stream: list(quarantined(stream))):
                yield IngestedDocument(document_id(source, path), source, path, PurePosixPath(path).name), reason


def _not_found(corpora: list[CorpusRun], text: str) -> str:
    known = (document for corpus in corpora for _, document in read_documents(corpus.snapshot, corpus.sources))
    by_name = {name: document for document in islice(known, MAX_NAMES) for name in (document.title, document.path) if name}
    folded = text.casefold()
    near = [name for name in by_name if folded in name.casefold()]
    near += get_close_matches(text, [name for name in by_name if name not in near], MAX_CANDIDATES, 0.6)
    listed = "".join(f"\n  {describe_document(d)}" for d in list(dict.fromkeys(by_name[name] for name in near))[:MAX_CANDIDATES])
    recipes = ", ".join(dict.fromkeys(corpus.run.recipe for corpus in corpora))
    hint = f" Similar names:{listed}" if listed else ""
    return f"No document that {recipes} read is called {text!r}; give its id, its path, its file's name or its title.{hint}"


def document_history(corpus: CorpusRun, document: IngestedDocument, quarantine: str = "") -> DocumentHistory:
    """Read the history of a document. `quarantine`: the reason, if it is a quarantined file."""
    steps: list[Step] = []
    for stage in corpus.stages:
        if (step := _step(corpus, stage, document.id, _last_text(steps))) is not None:
            steps.append(step)
    metadata: dict[str, Any] = {}
    for artifact in (artifact for artifacts in corpus.stages.values() for artifact in artifacts):
        # Later stages add to it: the language, for one.
        for row in _rows(corpus, artifact, DOCUMENTS, document.id, ("id", "metadata")):
            metadata |= json.loads(row["metadata"])
    mentioned = {other for step in steps for row in step.ledger for other in _ID.findall(row["detail"])}
    mentioned |= {other for step in steps for change in step.changes for edit in change.touches for other in _ID.findall(edit.detail)}
    mentioned |= {other for step in steps for other in step.shared.duplicates}
    return DocumentHistory(corpus, document, metadata, tuple(steps), document_names(corpus, mentioned - {document.id}), quarantine)


def document_names(corpus: CorpusRun, ids: Iterable[str]) -> dict[str, str]:
    """Return id -> name of some documents that a run read."""
    wanted = set(ids)
    known = read_documents(corpus.snapshot, corpus.sources) if wanted else ()
    return {document.id: document.name for _, document in known if document.id in wanted}


def _last_text(steps: Iterable[Step]) -> str:
    return next((step.text for step in reversed(list(steps)) if step.text is not None), "")


def _step(corpus: CorpusRun, stage: str, identity: str, text_before: str) -> Step | None:
    """What a stage did to a document; None if the document was in none of its shards."""
    for artifact in corpus.stages[stage]:
        ledger = _rows(corpus, artifact, LEDGER, identity)
        ledger.sort(key=lambda row: row["action"] in CLOSING)
        texts = {file: text for file in tables_of(artifact) if (text := corpus.read(artifact, file, partial(text_of, identity=identity)))}
        if not ledger and not texts:
            continue
        edits = _rows(corpus, artifact, EDITS_FILE, identity)
        removed = {rule: _removed_passages(corpus, artifact, rule, identity) for rule in dict.fromkeys(row["rule"] for row in ledger)}
        return Step(
            stage,
            artifact,
            tuple(ledger),
            next(iter(texts.values()), None),
            tuple(merge_changes(edits, removed, split_lines(text_before))),
            tuple(split for split in SPLITS if f"{split}.parquet" in texts),
            _shared_text(corpus, artifact, identity),
        )
    return None


def _shared_text(corpus: CorpusRun, artifact: Artifact, identity: str) -> SharedText:
    if not (corpus.snapshot.hook(artifact).finds_duplicates and has_file(artifact, LEDGER)):
        return SharedText()
    return corpus.read(artifact, LEDGER, partial(find_shared_text, identity=identity))


def _rows(corpus: CorpusRun, artifact: Artifact, file: str, identity: str, columns: tuple[str, ...] | None = None) -> list[dict[str, Any]]:
    return corpus.read(artifact, file, lambda stream: list(rows_of(stream, identity, columns))) if has_file(artifact, file) else []


def _removed_passages(corpus: CorpusRun, artifact: Artifact, rule: str, identity: str) -> list[dict[str, Any]]:
    """What a rule cut out of the document. Place 0 is the whole document, which the ledger has."""
    return [row for row in _rows(corpus, artifact, removed_file(rule), identity) if row["place"] > 0]


@dataclass(frozen=True)
class RemovedTable:
    """What one rule of a stage removed: (artifact, file, rows) for every shard in which it removed something."""

    stage: str
    rule: str
    files: tuple[tuple[Artifact, str, int], ...]

    @property
    def rows(self) -> int:
        """How many passages it removed, in all shards."""
        return sum(rows for _, _, rows in self.files)

    def paths(self, root: str) -> list[str]:
        """Return where its files are, below the root of the store."""
        return [f"{root}/{artifact.files_at}/{file}" for artifact, file, _ in self.files]


def removed_tables(corpus: CorpusRun) -> list[RemovedTable]:
    """Return every table of a run that has rows, by stage in the order of the flow, then by rule."""
    found: dict[tuple[str, str], list[tuple[Artifact, str, int]]] = {}
    for stage, artifacts in corpus.stages.items():
        for artifact in artifacts:
            for file in sorted(known.path for known in artifact.files if is_edit_file(known.path) and known.path != EDITS_FILE):
                rows = corpus.read(artifact, file, count_rows)
                found.setdefault((stage, PurePosixPath(file).stem), []).append((artifact, file, rows))
    order = list(corpus.stages)
    names = sorted(found, key=lambda name: (order.index(name[0]), name[1]))
    return [RemovedTable(*name, tuple(found[name])) for name in names if sum(rows for _, _, rows in found[name])]


def tables_of_rule(corpus: CorpusRun, rule: str) -> list[RemovedTable]:
    """Return the tables of a rule, given as `rule` or `stage/rule`. Raise LookupError naming the rules that removed something."""
    tables = removed_tables(corpus)
    wanted = rule.strip().replace(" ", "_").casefold()
    found = [table for table in tables if wanted in (table.rule.casefold(), f"{table.stage}/{table.rule}".casefold())]
    if not found:
        hint = did_you_mean(wanted, [table.rule for table in tables]) or "."
        listed = ", ".join(f"{table.stage}/{table.rule} ({table.rows:,})" for table in tables) or "none"
        raise LookupError(
            f"No rule {rule!r} removed anything in the corpus of {corpus.description}{hint} Rules that did: {listed}. "
            "What a rule replaced in place is shown document by document: folio corpus show DOCUMENT --rule NAME"
        )
    return found


def read_rows(corpus: CorpusRun, table: RemovedTable, limit: int) -> Iterator[dict[str, Any]]:
    """Yield the first rows of a table, through its shards in order: id, place, text, detail."""
    for artifact, file, rows in table.files:
        if limit <= 0:
            return
        yield from corpus.read(artifact, file, partial(first_rows, most=limit))
        limit -= rows
