"""Whatever can be held up to ask what it is made of: an artifact, a file, a run, a registered model, a document.

Guarantees: what a name means is found from the store alone, with MLflow and Prefect gone; names of artifacts win over other meanings;
a name that means several documents is an error that lists them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from data.provenance.tables import Document, documents
from tasks.lineage.records import Graph
from tasks.stage.identity.digests import hash_file
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.journal import Journal, Registered, RunRecord
from tasks.stage.store.store import Store

DOCUMENTS = "documents.parquet"
MOST = 12


@dataclass(frozen=True)
class Library:
    """A store with its records and runs, read once."""

    store: Store
    graph: Graph
    journal: Journal

    @classmethod
    def of(cls, store: Store) -> Library:
        """Read what a store holds."""
        return cls(store, Graph.of(store), Journal(store))

    def open(self, artifact: Artifact, file: str) -> IO[bytes]:
        """A file of an artifact, for reading; far ones are read where they lie. Raises FileNotFoundError when it is gone."""
        stream: IO[bytes] = self.store.fs.open(f"{self.store.root}/{artifact.location}/{file}", "rb")
        return stream


@dataclass(frozen=True)
class Thing:
    """What a name means: `words` say it to a person, `roots` are the artifacts to follow."""

    kind: Literal["artifact", "file", "run", "model", "document"]
    words: str
    roots: tuple[Artifact, ...]
    document: Document | None = None
    run: RunRecord | None = None
    registered: Registered | None = None


def find(library: Library, text: str) -> Thing:
    """What `text` means. Raises LookupError naming what was looked for, or the documents that it may mean."""
    graph, path = library.graph, Path(text).expanduser().resolve()
    if named := graph.named(text):
        return Thing("artifact", "", named)
    if model := _registered(library, text):
        return model
    if run := library.journal.find(text):
        return _run(library, run)
    if text and path.exists() and (lying := graph.lying_in(path)):
        return Thing("file" if path.is_file() else "artifact", f"{path} lies in {lying.location}", (lying,))
    if path.is_file() and (holding := graph.holding(hash_file(path))):
        also = f"; the same bytes lie in {', '.join(a.location for a in holding[1:MOST])}" if len(holding) > 1 else ""
        return Thing("file", f"{path} is a copy of a file of {holding[0].location}{also}", (holding[0],))
    if text and (found := find_document(library, text)):
        document, readers = found
        return Thing("document", words_of(document), tuple(readers), document=document)
    raise LookupError(
        f"Nothing in the store is called {text!r}: give a location such as clean/universe or clean/universe-1a2b3c4d, a key, a digest, "
        "a file, a run's id or recipe, a registered model such as folio-universe/2 or folio-universe@champion, "
        "or a document's id, path or title."
    )


def words_of(document: Document) -> str:
    """A document for a person: id, name, title."""
    return f"document {document.id}: {document.name}, {document.title!r}"


def find_document(library: Library, text: str, among: Iterable[Artifact] | None = None) -> tuple[Document, list[Artifact]] | None:
    """The document that has this id, path, title or file name, and the ingest artifacts that hold it, the newest first.

    `among`: the ingest artifacts to look in, all unless given. Raises LookupError with the candidates when there are several.
    """
    path = Path(text).expanduser().resolve()
    found: dict[str, tuple[Document, list[Artifact]]] = {}
    for artifact, document in documents_in(library, library.graph.newest if among is None else among):
        if document.is_called(text) or (path.is_file() and f"{path.as_posix()}".endswith(f"/{document.path}")):
            found.setdefault(document.id, (document, []))[1].append(artifact)
    if len(found) > 1:
        listed = "".join(f"\n  {words_of(document)}" for document, _ in list(found.values())[:MOST])
        more = f"\n  and {len(found) - MOST} more" if len(found) > MOST else ""
        raise LookupError(f"{text!r} means {len(found)} documents; give the id of one:{listed}{more}")
    return next(iter(found.values()), None)


def documents_in(library: Library, artifacts: Iterable[Artifact]) -> Iterator[tuple[Artifact, Document]]:
    """The documents that ingest artifacts hold; those of other stages hold none that they named."""
    for artifact in artifacts:
        if artifact.stage == "ingest":
            # A store whose files are gone still answers from what it has.
            with suppress(FileNotFoundError), library.open(artifact, DOCUMENTS) as stream:
                yield from ((artifact, document) for document in documents(stream))


def _run(library: Library, run: RunRecord) -> Thing:
    held = [library.graph.by_key[place.key] for place in run.places.values() if place.key in library.graph.by_key]
    gone = len(run.places) - len(held)
    lost = f"; the records of {gone} of its {len(run.places)} artifacts are gone" if gone else ""
    alive = "" if run.status != "running" or library.journal.alive(run) else ", but its process is gone"
    words = f"run {run.id} of {run.recipe}: {run.status}{alive}, started {run.started[:19]}{lost}"
    return Thing("run", words, tuple(ends(held)), run=run)


def ends(artifacts: Iterable[Artifact]) -> list[Artifact]:
    """Those that none of the others was made from."""
    held = list(artifacts)
    read = {given.key for artifact in held for given in artifact.inputs.values()}
    return [artifact for artifact in held if artifact.key not in read]


def registry(runs: Iterable[RunRecord]) -> list[tuple[Registered, RunRecord]]:
    """Every registered version with the run that said so last; an alias stands only where it went last. `runs`: the newest first."""
    versions: dict[tuple[str, str], tuple[Registered, RunRecord]] = {}
    holders: dict[tuple[str, str], str] = {}
    for run in runs:
        for model in run.registered:
            holders.setdefault((model.name, model.alias), model.version)
            alias = model.alias if holders[model.name, model.alias] == model.version else ""
            versions.setdefault((model.name, model.version), (model.model_copy(update={"alias": alias}), run))
    return list(versions.values())


def _registered(library: Library, text: str) -> Thing | None:
    """A registered model by `name` (its newest version), `name/version` or `name@alias` (where the alias went last)."""
    for model, run in registry(library.journal.records()):
        if text in (model.name, f"{model.name}/{model.version}", f"{model.name}@{model.alias}" if model.alias else model.name):
            held = [a for a in library.graph.newest if a.digest == model.digest]
            held.sort(key=lambda a: a.location != model.location)
            if not held:
                raise LookupError(f"{model.name} version {model.version} is {model.location}, whose record is gone from the store.")
            alias = f" ({model.alias})" if model.alias else ""
            words = f"{model.name} version {model.version}{alias}, registered by run {run.id}"
            return Thing("model", words, (held[0],), registered=model)
    return None
