"""`folio corpus stats`: the funnel of a corpus as tables, as its audit measured it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from data.audit.config import FORMAT
from data.splits.config import LARGE_CLUSTERS, LargeCluster
from flows.cli.snapshot import open_snapshot
from flows.cli.views.diff_rendering import printable
from tasks.corpus import assign, audit, census
from tasks.lineage.corpus_run import CorpusRun, find_corpus_run
from tasks.reporting.wording import plural, share
from tasks.stage.system.columns import columns, signed, terminal_width
from tasks.stage.system.command_line import folio

FUNNEL, CENSUS = "funnel.json", "census.json"
SHOWN = 10


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
    return printable("\n".join(_lines(corpus, funnel, measured)))


def _lines(corpus: CorpusRun, funnel: Mapping[str, Any], measured: Mapping[str, float]) -> Iterator[str]:
    yield corpus.description
    yield from _titled("", _funnel(funnel))
    yield from _titled("rules, those that touched most first", _rules(funnel))
    for name in ("sources", "formats", "languages"):
        yield from _titled(name, _groups(funnel.get(name, {})))
    yield from _titled("entries of the sources: files, folders, members of archives", _entries(_census(corpus)))
    quarantined = [(why, f"{entry['files']:,}", ", ".join(entry["shown"][:3])) for why, entry in funnel["quarantined"].items()]
    yield from _titled("quarantined", _columns([("reason", "files", "such as"), *quarantined] if quarantined else [], frozenset({1})))
    mismatches = funnel["title_mismatches"]
    rows = [(f"{row['source']}/{row['path']}", row["title"]) for row in mismatches["shown"][:SHOWN]]
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


def _funnel(funnel: Mapping[str, Any]) -> list[str]:
    head = ("stage", "documents in", "removed", "kept", "characters in", "removed", "cut", "changed", "kept", "")
    rows = [
        (
            stage["stage"],
            *(f"{stage[name]:,}" for name in ("documents_in", "documents_removed", "documents", "characters_in", "characters_removed",
                                              "characters_cut", "characters_changed", "characters")),
            "balanced" if stage["balanced"] else "NOT BALANCED",
        )
        for stage in funnel["stages"]
    ]  # fmt: skip
    return [*columns([head, *rows], frozenset(range(1, 9))), *(stage["fault"] for stage in funnel["stages"] if "fault" in stage)]


def _rules(funnel: Mapping[str, Any]) -> list[str]:
    found = [
        (stage["stage"], action, rule, entry)
        for stage in funnel["stages"]
        for action, rules in stage["rules"].items()
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
        (source, fate, kind, f"{entry['entries']:,}", ", ".join(entry["shown"][:3]))
        for source, fates in counted.items()
        for fate, kinds in fates.items()
        for kind, entry in sorted(kinds.items(), key=lambda item: (-item[1]["entries"], item[0]))
    ]
    return _columns([("source", "fate", "kind", "entries", "such as"), *rows], frozenset({3})) if rows else []


def _splits(funnel: Mapping[str, Any], measured: Mapping[str, float]) -> list[str]:
    head = ("split", "documents", "characters", "by a machine", "also in train", "longest passage", "also in validation")
    rows = []
    for part in funnel["splits"]:
        name = f"leak_{part['split']}"
        longest = measured.get(f"{name}_longest")
        passage = "" if longest is None else plural(longest, "word") if longest else "none"
        leaks = [share(measured[leak]) if leak in measured else "" for leak in (name, f"{name}_val")]
        counts = (f"{part['documents']:,}", f"{part['characters']:,}", share(part["synthetic"]))
        rows.append((part["split"], *counts, leaks[0], passage, leaks[1]))
    return _columns([head, *rows], frozenset(range(1, 7)))
