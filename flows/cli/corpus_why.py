"""`folio corpus why`: why two documents were called the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from flows.cli.diff_rendering import printable
from flows.cli.lineage import snapshot_at
from tasks.lineage.corpus_run import find_corpus_run
from tasks.lineage.document_history import find_history

if TYPE_CHECKING:
    from data.dedup.why import Why

LONGEST = 400


def why_the_same(first: str, second: str, recipe: str = "", *, as_json: bool = False, store: str = "") -> str:
    """The corpus of pairs between two documents and what both hold, as text or JSON.

    Raises LookupError for documents that are not known, didn't come as far as deduplication, or weren't called the same.
    """
    snapshot = snapshot_at(store)
    corpus = find_corpus_run(snapshot, recipe, "dedup")
    one, other = (find_history(snapshot, text, corpus.run.id).document for text in (first, second))
    (dedup,) = corpus.stages["dedup"]
    texts = [snapshot.store.local(artifact) / "documents.parquet" for artifact in corpus.inputs_of("dedup")]
    from data.dedup.why import why

    told = why(snapshot.store.local(dedup) / "pairs.parquet", texts, one.id, other.id)
    names = {document.id: f"{document.id} ({document.name})" for document in (one, other)}
    if as_json:
        links = [{"a": link.a, "b": link.b, "rule": link.rule, "jaccard": link.jaccard} for link in told.links]
        named = {"a": one.id, "b": other.id, "recipe": corpus.run.recipe, "run": corpus.run.id}
        return json.dumps(named | {"links": links, "shared": list(told.shared)}, indent=1, ensure_ascii=False)
    return printable("\n".join([corpus.description, *_lines(told, names)]))


def _lines(told: Why, names: dict[str, str]) -> Iterator[str]:
    for link in told.links:
        yield f"{names.get(link.a, link.a)} and {names.get(link.b, link.b)}: {link.rule}, Jaccard {link.jaccard:.3f}"
    yield "\nwhat both hold, the longest first:" if told.shared else "\nno passage stands in both word for word"
    for number, passage in enumerate(told.shared, start=1):
        more = f"… ({len(passage) - LONGEST:,} more characters)" if len(passage) > LONGEST else ""
        yield f"  {number}. {passage[:LONGEST]}{more}"
