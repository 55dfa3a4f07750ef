"""Finding documents in what ingest wrote: by id, path, title or file name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from data.documents.sharding import DOCUMENTS
from data.provenance.tables import IngestedDocument, documents
from tasks.lineage.snapshot import StoreSnapshot
from tasks.stage.store.artifact import Artifact

MAX_CANDIDATES = 12


def describe_document(document: IngestedDocument) -> str:
    """Return a document's id, name and title on one line."""
    return f"document {document.id}: {document.name}, {document.title!r}"


def find_document(
    snapshot: StoreSnapshot, text: str, artifacts: Iterable[Artifact] | None = None
) -> tuple[IngestedDocument, list[Artifact]] | None:
    """Return the document with this id, path, title or file name and the artifacts that read it, newest first; None if there is none.

    `artifacts`: where to look, by default in all. Raise LookupError with the candidates if several documents match.
    """
    path = Path(text).expanduser().resolve()
    found: dict[str, tuple[IngestedDocument, list[Artifact]]] = {}
    for artifact, document in read_documents(snapshot, snapshot.graph.newest_first if artifacts is None else artifacts):
        if document.is_called(text) or (path.is_file() and f"{path.as_posix()}".endswith(f"/{document.path}")):
            found.setdefault(document.id, (document, []))[1].append(artifact)
    if len(found) > 1:
        listed = "".join(f"\n  {describe_document(document)}" for document, _ in list(found.values())[:MAX_CANDIDATES])
        more = f"\n  and {len(found) - MAX_CANDIDATES} more" if len(found) > MAX_CANDIDATES else ""
        raise LookupError(f"{text!r} means {len(found)} documents; give the id of one:{listed}{more}")
    return next(iter(found.values()), None)


def read_documents(snapshot: StoreSnapshot, artifacts: Iterable[Artifact]) -> Iterator[tuple[Artifact, IngestedDocument]]:
    """Yield the documents of those artifacts that read sources; the others name none. Files that are gone are skipped."""
    for artifact in artifacts:
        if snapshot.hook(artifact).reads_sources:
            with suppress(FileNotFoundError), snapshot.open(artifact, DOCUMENTS) as stream:
                yield from ((artifact, document) for document in documents(stream))
