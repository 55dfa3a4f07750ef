"""Load the store that a command reads, with its records."""

from __future__ import annotations

from pathlib import Path

from data.provenance.tables import IngestedDocument
from flows.services.home import home, store_url
from tasks import base, chat, corpus, deduplication, evaluate, gate, release  # noqa: F401  # they fill STAGES
from tasks.lineage.corpus_run import find_document
from tasks.lineage.graph import StoreSnapshot
from tasks.lineage.resolve import not_made_by_folio
from tasks.stage.stage import STAGES
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.store import open_store


def find_in_store(snapshot: StoreSnapshot, text: str) -> tuple[IngestedDocument, list[Artifact]]:
    """Return the document called `text` and what read it. Raise LookupError if there is none, or more than one."""
    if found := find_document(snapshot, text):
        return found
    if text and Path(text).expanduser().exists():
        raise LookupError(not_made_by_folio(snapshot, Path(text).expanduser().resolve()))
    raise LookupError(f"No document that was read into {snapshot.store.url} is called {text!r}; give its id, its path or its title.")


def open_snapshot(store: str) -> StoreSnapshot:
    """Return the store at a path or URL, by default the one in folio's home, with its records."""
    return StoreSnapshot.load(open_store(store or store_url(), Path.cwd(), home()), STAGES)
