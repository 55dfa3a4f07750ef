"""The corpus browser: what came in and what each rule took, a document before and after, and why two were called duplicates.

It asks the questions of `folio corpus`, of one run: only the records that the run names are read, however many the store has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice
from typing import Any, NamedTuple

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from data.audit.config import FORMAT
from flows.cli import snapshot  # noqa: F401  # it imports every stage, which fills STAGES
from flows.cli.views.corpus_removed import FUNNEL, explanation_of
from flows.cli.views.corpus_show import changes_of, changes_shown, outcome_of, sample_by_rule, with_names
from flows.cli.views.diff_rendering import CUT, DIM, NAME, NEW, OLD, Line
from flows.page.rendering import SHOWN, Page, page_of, part_of
from tasks.lineage.corpus_run import CorpusRun, corpora_of, read_documents
from tasks.lineage.document_history import Step, document_names, history_in, read_rows, removed_tables, tables_of_rule
from tasks.lineage.graph import ProvenanceGraph, StoreSnapshot
from tasks.lineage.hook import LineageHook
from tasks.stage.stage import STAGES
from tasks.stage.store.journal import Journal
from tasks.stage.store.run_record import RunRecord

router = APIRouter(prefix="/corpora")
CHANGES = 20
TEXT = 20_000  # characters of a document that are shown
EXCERPT = 600
PARTS = 40  # parts of a table that can be leafed through; `folio corpus removed` reads all
CLASSES = {NAME: "name", DIM: "dim", OLD: "old", NEW: "new", CUT: "cut", "": ""}


class Told(NamedTuple):
    """One stage's outcome for a document. `rules`: the rows of its ledger about it, with the names of the documents they mention."""

    stage: str
    location: str
    outcome: str
    rules: list[dict[str, Any]]
    duplicates: tuple[str, ...]


@router.get("")
def listed(request: Request) -> Response:
    """List the newest corpus of each recipe."""
    page = page_of(request)
    reading = _source_stages()
    newest: dict[str, Any] = {}
    for entry in page.runs.newest():
        if entry.stages & reading:
            newest.setdefault(entry.recipe, entry)
    skip = (page.number - 1) * SHOWN
    rows = list(newest.values())
    return page.show("corpora.html.jinja", part=part_of(rows[skip : skip + SHOWN], page.number, len(rows)))


@router.get("/{run_id}")
def one(request: Request, run_id: str) -> Response:
    """Show how much came in, what each stage and rule took, and what is left."""
    page = page_of(request)
    corpora = _corpora(page, run_id)
    funnel = _funnel(corpora)
    return page.show(
        "corpus.html.jinja", run=corpora[0].run, funnel=funnel, tables=[table for corpus in corpora for table in removed_tables(corpus)]
    )


@router.get("/{run_id}/documents")
def documents(request: Request, run_id: str) -> Response:
    """List the documents that a run read, or those whose path or title contains some words."""
    page = page_of(request)
    corpora, wanted = _corpora(page, run_id), page.asked("name")
    found = (
        document
        for corpus in corpora
        for _, document in read_documents(corpus.snapshot, corpus.sources)
        if wanted.casefold() in f"{document.id} {document.name} {document.title}".casefold()
    )
    skip = (page.number - 1) * SHOWN
    part = part_of(list(islice(found, skip, skip + SHOWN + 1)), page.number, name=wanted)
    return page.show("documents.html.jinja", run=corpora[0].run, part=part, name=wanted)


@router.get("/{run_id}/documents/{document}")
def document(request: Request, run_id: str, document: str) -> Response:
    """Show where a document came from, what each stage and rule did to it, and its text before and after."""
    page = page_of(request)
    history = history_in(_corpora(page, run_id), document)
    rule = page.asked("rule")
    changes = changes_of(history, rule)
    return page.show(
        "document.html.jinja",
        run=history.corpus.run,
        history=history,
        steps=[
            Told(step.stage, step.artifact.location, outcome_of(history, step), _ledger(step), step.shared.duplicates)
            for step in history.steps
        ],
        named=lambda text: with_names(history, text),
        edited=any(row["action"] == "changed" for step in history.steps for row in step.ledger),
        lines=_classed(list(changes_shown(history, changes, CHANGES))[1:]) if changes else [],
        shown=len(sample_by_rule(changes, CHANGES)),
        total=len(changes),
        rule=rule,
        rules=sorted({name for step in history.steps for change in step.changes for name in change.rules}),
        most=TEXT,
    )


@router.get("/{run_id}/removed/{stage}/{rule}")
def removed(request: Request, run_id: str, stage: str, rule: str) -> Response:
    """Show what a rule removed, word for word."""
    page = page_of(request)
    corpora = _corpora(page, run_id)
    corpus = next((one for one in corpora if stage in one.stages and _has_rule(one, stage, rule)), None)
    if corpus is None:
        raise LookupError(f"{stage}/{rule} removed nothing in run {run_id}.")
    (table,) = (one for one in tables_of_rule(corpus, f"{stage}/{rule}") if (one.stage, one.rule) == (stage, rule))
    number = min(page.number, PARTS)
    rows = list(islice(read_rows(corpus, table, number * SHOWN), (number - 1) * SHOWN, None))
    names = document_names(corpus, {row["id"] for row in rows})
    part = part_of(rows, number, min(table.rows, PARTS * SHOWN))
    return page.show("removed.html.jinja", run=corpus.run, table=table, part=part, names=names, excerpt=EXCERPT)


@router.get("/{run_id}/why")
def why(request: Request, run_id: str) -> Response:
    """Explain why two documents were called duplicates."""
    page = page_of(request)
    corpora = _corpora(page, run_id)
    first, second = (history_in(corpora, page.asked(name)) for name in ("first", "second"))
    answer = explanation_of(first, second)
    names = document_names(first.corpus, {identity for link in answer.links for identity in (link.a, link.b)})
    return page.show("why.html.jinja", run=first.corpus.run, first=first.document, second=second.document, answer=answer, names=names)


def _corpora(page: Page, run_id: str) -> list[CorpusRun]:
    """Return the corpora of a run. Raise LookupError if there is no such run, or it has none that is still there."""
    run = page.runs.record(run_id)
    found = list(corpora_of(_snapshot(page, run), run))
    if not found:
        raise LookupError(f"Run {run_id} of {run.recipe} has no corpus that is still in the store.")
    return found


def _snapshot(page: Page, run: RunRecord) -> StoreSnapshot:
    """Return the store as far as a run names it."""
    made = page.store.index.records(dict.fromkeys(position.location for position in run.positions.values()))
    graph = ProvenanceGraph({artifact.address: artifact for artifact in made})
    return StoreSnapshot(page.store, graph, Journal(page.store), STAGES)


def _funnel(corpora: list[CorpusRun]) -> Mapping[str, Any]:
    """Return what the run's audit counted; nothing if it was not audited, or by a folio that counted differently."""
    for corpus in corpora:
        if corpus.audit is not None:
            found: dict[str, Any] = corpus.read(corpus.audit, FUNNEL, json.load)
            return found if found["format"] == FORMAT else {}
    return {}


def _source_stages() -> frozenset[str]:
    return frozenset(name for name, stage in STAGES.items() if (hook := stage.hook(LineageHook)) is not None and hook.reads_sources)


def _has_rule(corpus: CorpusRun, stage: str, rule: str) -> bool:
    return any((table.stage, table.rule) == (stage, rule) for table in removed_tables(corpus))


def _ledger(step: Step) -> list[dict[str, Any]]:
    return list(step.ledger[:-1])


def _classed(lines: list[Line]) -> list[list[tuple[str, str]]]:
    """Return styled lines with the classes of the page's style sheet in place of a terminal's styles."""
    return [[(text, CLASSES.get(style, "")) for text, style in line] for line in lines]
