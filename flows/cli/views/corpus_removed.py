"""`folio corpus removed` and `folio corpus why`: what rules removed, word for word, and why documents count as copies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from data.dedup.explanation import explain
from flows.cli.snapshot import open_snapshot
from flows.cli.views.diff_rendering import printable
from tasks.lineage.corpus_run import CorpusRun, find_corpus_run
from tasks.lineage.document_history import RemovedTable, document_names, find_history, read_rows, removed_tables, tables_of_rule
from tasks.stage.system.columns import columns

if TYPE_CHECKING:
    from data.dedup.explanation import Explanation

EXCERPT, SHOWN = 160, 20


def show_removed(rule: str = "", recipe: str = "", *, limit: int | None = None, as_json: bool = False, store: str = "") -> str:
    """Return a run's tables, or the rows of one rule, as text or JSON. Raises LookupError for a rule that removed nothing.

    If `rule` alone is given and is the name of a recipe that ran, the recipe's tables are listed.
    """
    snapshot = open_snapshot(store)
    if rule and not recipe and any(run.recipe == rule for run in snapshot.journal.records()):
        rule, recipe = "", rule
    corpus = find_corpus_run(snapshot, recipe)
    tables = tables_of_rule(corpus, rule) if rule else removed_tables(corpus)
    if not rule and limit:
        raise ValueError("--limit counts the rows of one rule's table; name the RULE, or leave it out.")
    if not rule:
        return (
            json.dumps([_plain(corpus, taken) for taken in tables], indent=1) if as_json else printable("\n".join(_listed(corpus, tables)))
        )
    opened = [(taken, _rows(corpus, taken, limit or SHOWN)) for taken in tables]
    if as_json:
        return json.dumps([_plain(corpus, taken) | {"taken": rows} for taken, rows in opened], indent=1, ensure_ascii=False)
    return "\n".join(line for taken, rows in opened for line in _opened(corpus, taken, rows))


def _rows(corpus: CorpusRun, taken: RemovedTable, limit: int) -> list[dict[str, Any]]:
    rows = list(read_rows(corpus, taken, limit))
    names = document_names(corpus, {row["id"] for row in rows})
    return [{"id": row["id"], "document": names.get(row["id"], ""), **row} for row in rows]


def _plain(corpus: CorpusRun, taken: RemovedTable) -> dict[str, Any]:
    return {"stage": taken.stage, "rule": taken.rule, "rows": taken.rows, "files": taken.paths(corpus.snapshot.store.root)}


def _listed(corpus: CorpusRun, tables: list[RemovedTable]) -> Iterator[str]:
    yield corpus.description
    if not tables:
        yield "no rule removed anything"
        return
    root = corpus.snapshot.store.root
    rows = [(taken.stage, taken.rule, f"{taken.rows:,}", _where(taken, root)) for taken in tables]
    yield from columns([("stage", "rule", "pieces", "table"), *rows], frozenset({2}))


def _where(taken: RemovedTable, root: str) -> str:
    first, *others = taken.paths(root)
    return f"{first}{f' and in {len(others)} more shards' if others else ''}"


def _opened(corpus: CorpusRun, taken: RemovedTable, rows: list[dict[str, Any]]) -> Iterator[str]:
    more = f", the first {len(rows):,}" if len(rows) < taken.rows else ""
    yield f"{taken.stage}/{taken.rule} in {corpus.description}: {taken.rows:,} pieces{more}"
    yield _where(taken, corpus.snapshot.store.root)
    for row in rows:
        place = f", place {row['place']:,}" if row["place"] else ", the whole document"
        detail = f", {row['detail']}" if row["detail"] else ""
        yield printable(f"\n{row['id']} {row['document']}{place}, {len(row['text']):,} characters{detail}")
        text = " ⏎ ".join(row["text"][: 2 * EXCERPT].split("\n"))
        yield printable(f"  {text[:EXCERPT]}{'…' if len(row['text']) > EXCERPT else ''}")
    yield ""


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
