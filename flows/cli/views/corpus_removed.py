"""Show what each stage and rule took from a corpus: in numbers, word for word, and why two documents were called duplicates."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from data.audit.config import FORMAT
from data.dedup.explanation import explain
from data.splits.config import LARGE_CLUSTERS, LargeCluster
from flows.cli.snapshot import open_snapshot
from flows.cli.views.diff_rendering import printable
from tasks.corpus import assign, audit, census
from tasks.lineage.corpus_run import CorpusRun, find_corpus_run
from tasks.lineage.document_history import (
    DocumentHistory,
    RemovedTable,
    document_names,
    find_history,
    read_rows,
    removed_tables,
    tables_of_rule,
)
from tasks.reporting.wording import plural, share
from tasks.stage.system.columns import GAP, columns, signed, terminal_width, wrapped
from tasks.stage.system.command_line import folio

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
    yield from wrapped(corpus.description)
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
    yield from wrapped(f"{taken.stage}/{taken.rule} in {corpus.description}: {taken.rows:,} pieces{more}")
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
    answer = explanation_of(found, also)
    names = {document.id: f"{document.id} ({document.name})" for document in (one, other)}
    if as_json:
        links = [{"a": link.a, "b": link.b, "rule": link.rule, "jaccard": link.jaccard} for link in answer.links]
        named = {"a": one.id, "b": other.id, "recipe": corpus.run.recipe, "run": corpus.run.id}
        return json.dumps(named | {"links": links, "shared": list(answer.shared)}, indent=1, ensure_ascii=False)
    return printable("\n".join([*wrapped(corpus.description), *_duplicate_lines(answer, names)]))


def explanation_of(found: DocumentHistory, also: DocumentHistory) -> Explanation:
    """Return the pairs that link two documents and the passages they share.

    Raises LookupError for documents that did not reach deduplication together, or were not called duplicates.
    """
    corpus, one, other = found.corpus, found.document, also.document
    if "dedup" not in corpus.stages or also.corpus.where != corpus.where:
        raise LookupError(f"{one.name!r} and {other.name!r} are a book and a conversation, which are never compared.")
    (dedup,) = corpus.stages["dedup"]
    store = corpus.snapshot.store
    texts = [store.local(artifact) / "documents.parquet" for artifact in corpus.inputs_of("dedup")]
    return explain(store.local(dedup) / "pairs.parquet", texts, one.id, other.id)


def _duplicate_lines(answer: Explanation, names: dict[str, str]) -> Iterator[str]:
    for link in answer.links:
        likeness = "share of equal bits" if link.rule in ("picture", "sound") else "Jaccard"
        yield f"{names.get(link.a, link.a)} and {names.get(link.b, link.b)}: {link.rule}, {likeness} {link.jaccard:.3f}"
    yield "\npassages in both, the longest first:" if answer.shared else "\nthey share no passage word for word"
    for number, passage in enumerate(answer.shared, start=1):
        more = f"… ({len(passage) - LONGEST:,} more characters)" if len(passage) > LONGEST else ""
        yield f"  {number}. {passage[:LONGEST]}{more}"


FUNNEL, CENSUS = "funnel.json", "census.json"
MISMATCHES = 10


def corpus_stats(recipe: str = "", *, as_json: bool = False, store: str = "") -> str:
    """Return the funnel as text or JSON. Raises LookupError if no run of the recipe was audited."""
    corpus = find_corpus_run(open_snapshot(store), recipe, audit.name)
    assert corpus.audit is not None
    funnel = corpus.read(corpus.audit, FUNNEL, json.load)
    if funnel["format"] != FORMAT:
        raise ValueError(
            f"{corpus.audit.location}/{FUNNEL} has format {funnel['format']} and this folio reads format {FORMAT}; "
            f"measure it again: {folio('refresh', 'audit', corpus.run.argument or corpus.run.recipe)}"
        )
    measured = corpus.audit.metrics
    if as_json:
        told = {"recipe": corpus.run.recipe, "run": corpus.run.id, "metrics": dict(measured), **funnel, "census": _census(corpus)}
        told["large_clusters"] = [large.model_dump() for large in _large_clusters(corpus)]
        return json.dumps(told, indent=1, ensure_ascii=False)
    return printable("\n".join(_stats_lines(corpus, funnel, measured)))


def _stats_lines(corpus: CorpusRun, funnel: Mapping[str, Any], measured: Mapping[str, float]) -> Iterator[str]:
    yield from wrapped(corpus.description)
    yield from _titled("", _funnel(funnel, "documents", ("in", "removed", "kept")))
    yield from _titled("", _funnel(funnel, "characters", ("in", "removed", "cut", "changed", "kept")))
    yield from (stage["fault"] for stage in funnel["stages"] if "fault" in stage)
    yield from _titled("rules, those that touched most first", _rules(funnel))
    for name in ("sources", "formats", "languages"):
        yield from _titled(name, _groups(funnel.get(name, {})))
    yield from _titled("entries of the sources: files, folders, members of archives", _entries(_census(corpus)))
    yield from _titled("quarantined", _quarantined(funnel))
    yield from _titled("left out of documents whose text is kept, most first", _left_out(funnel))
    mismatches = funnel["title_mismatches"]
    rows = [(f"{row['source']}/{row['path']}", row["title"]) for row in mismatches["shown"][:MISMATCHES]]
    more = [f"and {mismatches['documents'] - len(rows):,} more (--json)"] if mismatches["documents"] > len(rows) else []
    yield from _titled(
        "files whose text has another title than their name", [*_columns([("file", "title found"), *rows] if rows else []), *more]
    )
    yield from _titled("splits", _splits(funnel, measured))
    yield from (line for large in _large_clusters(corpus) for line in ("", large.warning))
    synthetic = funnel["synthetic"]
    if synthetic["documents"]:
        yield from (
            "",
            f"written by a machine: {plural(synthetic['documents'], 'document')}, {share(synthetic['share'])} of the characters",
        )


def _columns(rows: list[tuple[str, ...]], right: frozenset[int] = frozenset()) -> list[str]:
    """Return columns that still fit when `_titled` has indented them."""
    return columns(rows, right, room=terminal_width() - 2)


def _titled(title: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield from ("", *([title] if title else []), *(f"  {line}" if title else line for line in lines))


def _funnel(funnel: Mapping[str, Any], unit: str, kinds: tuple[str, ...]) -> list[str]:
    """Return what each stage did to a corpus, in documents or in characters."""
    names = [unit if kind == "kept" else f"{unit}_{kind}" for kind in kinds]
    rows = [
        (stage["stage"], *(f"{stage[name]:,}" for name in names), "balanced" if stage["balanced"] else "NOT BALANCED")
        for stage in funnel["stages"]
    ]
    return columns([(unit, *kinds, ""), *rows], frozenset(range(1, len(kinds) + 1)))


LEFT_OUT = "not read: "  # begins the reason for what lies inside a document whose text is kept
MOST_KINDS = 20


def _quarantined(funnel: Mapping[str, Any]) -> list[str]:
    found = {why: entry for why, entry in funnel["quarantined"].items() if not why.startswith(LEFT_OUT)}
    rows = [(why, f"{entry['files']:,}") for why, entry in found.items()]
    return _with_examples(("reason", "files"), rows, [entry["shown"] for entry in found.values()], frozenset({1}))


def _left_out(funnel: Mapping[str, Any]) -> list[str]:
    found = [(why, entry) for why, entry in funnel["quarantined"].items() if why.startswith(LEFT_OUT)]
    found.sort(key=lambda item: (-item[1].get("size", 0), item[0]))
    shown = found[:MOST_KINDS]
    rows = [
        (why.removeprefix(LEFT_OUT), f"{entry['files']:,}", f"{entry['size']:,}{' bytes' if entry['unit'] == 'bytes' else ''}")
        for why, entry in shown
    ]
    lines = _with_examples(("kind", "documents", "characters"), rows, [entry["shown"] for _, entry in shown], frozenset({1, 2}))
    return [*lines, *([f"and {plural(len(found) - len(shown), 'more kind')} (--json)"] if len(found) > len(shown) else [])]


def _with_examples(
    head: tuple[str, ...], rows: Sequence[tuple[str, ...]], examples: Sequence[Sequence[str]], right: frozenset[int]
) -> list[str]:
    """Return columns with as many examples of each row as fit into a line, and at least one."""
    if not rows:
        return []
    room = terminal_width() - 2 - sum(max(len(row[i]) for row in (head, *rows)) + GAP for i in range(len(head)))
    last = []
    for shown in examples:
        count = next((n for n in (3, 2) if len(", ".join(shown[:n])) <= room), 1)
        last.append(", ".join(shown[:count]))
    return _columns([(*head, "such as"), *((*row, shown) for row, shown in zip(rows, last, strict=True))], right)


def _rules(funnel: Mapping[str, Any]) -> list[str]:
    found = [
        (stage["stage"], action, rule, entry)
        for stage in funnel["stages"]
        for action, rules in stage["rules"].items()
        if action != "quarantined"  # they have a table of their own
        for rule, entry in sorted(rules.items(), key=lambda item: (-item[1]["characters"], item[0]))
    ]
    rows = [
        (stage, action, rule, *(f"{entry[name]:,}" for name in ("documents", "pieces", "characters")), signed(-entry["net"]))
        for stage, action, rule, entry in found
    ]
    head = ("stage", "action", "rule", "documents", "pieces", "characters", "length")
    return _columns([head, *rows], frozenset(range(3, 7))) if rows else []


def _groups(groups: Mapping[str, Mapping[str, int]]) -> list[str]:
    kinds = {"documents_in": "documents read", "documents": "kept", "characters_in": "characters read", "characters": "kept"}
    present = {key: words for key, words in kinds.items() if any(key in entry for entry in groups.values())}
    if len(present) == 2:
        present = {"documents": "documents", "characters": "characters"}
    rows = [(name, *(f"{entry[key]:,}" for key in present)) for name, entry in groups.items()]
    return _columns([("", *present.values()), *rows], frozenset(range(1, 5))) if rows else []


def _census(corpus: CorpusRun) -> Mapping[str, Any]:
    """Return the fate of every entry of the run's sources; nothing if no source reads files."""
    recorded = corpus.run.positions.get(census.name)
    counted = corpus.snapshot.graph.by_address.get(recorded.address) if recorded else None
    return corpus.read(counted, CENSUS, json.load) if counted else {}


def _large_clusters(corpus: CorpusRun) -> list[LargeCluster]:
    """Return the clusters that make a held-out split larger than it should be."""
    recorded = corpus.run.positions.get(assign.name)
    made = corpus.snapshot.graph.by_address.get(recorded.address) if recorded else None
    if made is None or not made.metrics.get("large_clusters"):
        return []
    return [LargeCluster.model_validate(large) for large in corpus.read(made, LARGE_CLUSTERS, json.load)]


def _entries(counted: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[str]:
    rows = [
        ((source, fate, kind, f"{entry['entries']:,}"), entry["shown"])
        for source, fates in counted.items()
        for fate, kinds in fates.items()
        for kind, entry in sorted(kinds.items(), key=lambda item: (-item[1]["entries"], item[0]))
    ]
    return _with_examples(("source", "fate", "kind", "entries"), [row for row, _ in rows], [shown for _, shown in rows], frozenset({3}))


def _splits(funnel: Mapping[str, Any], measured: Mapping[str, float]) -> list[str]:
    machine = any(part["synthetic"] for part in funnel["splits"])
    head = (
        "split",
        "documents",
        "characters",
        *(["by a machine"] if machine else []),
        "also in train",
        "longest passage",
        "also in validation",
    )
    rows = []
    for part in funnel["splits"]:
        name = f"leak_{part['split']}"
        longest = measured.get(f"{name}_longest")
        passage = "" if longest is None else plural(longest, "word") if longest else "none"
        leaks = [share(measured[leak]) if leak in measured else "" for leak in (name, f"{name}_val")]
        counts = (f"{part['documents']:,}", f"{part['characters']:,}", *([share(part["synthetic"])] if machine else []))
        rows.append((part["split"], *counts, leaks[0], passage, leaks[1]))
    return _columns([head, *rows], frozenset(range(1, len(head))))
