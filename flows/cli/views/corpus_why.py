"""`folio corpus why`: why two documents were called duplicates."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from flows.cli.snapshot import open_snapshot
from flows.cli.views.diff_rendering import printable
from tasks.lineage.corpus_run import find_corpus_run
from tasks.lineage.document_history import find_history

if TYPE_CHECKING:
    from data.dedup.explanation import Explanation

LONGEST = 400


def explain_duplicates(first: str, second: str, recipe: str = "", *, as_json: bool = False, store: str = "") -> str:
    """Return the pairs that link two documents and the passages they share, as text or JSON.

    Raises LookupError for documents that are unknown, did not reach deduplication, or were not called duplicates.
    """
    snapshot = open_snapshot(store)
    corpus = find_corpus_run(snapshot, recipe, "dedup")
    found, also = (find_history(snapshot, text, corpus.run.id) for text in (first, second))
    one, other, corpus = found.document, also.document, found.corpus
    if "dedup" not in corpus.stages or also.corpus.where != corpus.where:
        raise LookupError(f"{first!r} and {second!r} are a book and a conversation, which are never compared.")
    (dedup,) = corpus.stages["dedup"]
    texts = [snapshot.store.local(artifact) / "documents.parquet" for artifact in corpus.inputs_of("dedup")]
    from data.dedup.explanation import explain

    answer = explain(snapshot.store.local(dedup) / "pairs.parquet", texts, one.id, other.id)
    names = {document.id: f"{document.id} ({document.name})" for document in (one, other)}
    if as_json:
        links = [{"a": link.a, "b": link.b, "rule": link.rule, "jaccard": link.jaccard} for link in answer.links]
        named = {"a": one.id, "b": other.id, "recipe": corpus.run.recipe, "run": corpus.run.id}
        return json.dumps(named | {"links": links, "shared": list(answer.shared)}, indent=1, ensure_ascii=False)
    return printable("\n".join([corpus.description, *_lines(answer, names)]))


def _lines(answer: Explanation, names: dict[str, str]) -> Iterator[str]:
    for link in answer.links:
        yield f"{names.get(link.a, link.a)} and {names.get(link.b, link.b)}: {link.rule}, Jaccard {link.jaccard:.3f}"
    yield "\npassages in both, the longest first:" if answer.shared else "\nthey share no passage word for word"
    for number, passage in enumerate(answer.shared, start=1):
        more = f"… ({len(passage) - LONGEST:,} more characters)" if len(passage) > LONGEST else ""
        yield f"  {number}. {passage[:LONGEST]}{more}"
