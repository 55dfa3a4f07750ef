"""What people judged: counts, how far judges agree beside what a gate asks for, each judge's lines, and the models' ratings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tasks.reporting.gates import gates_of
from tasks.reporting.hook import Topic
from tasks.reporting.parts import Row, Section, Table
from tasks.reporting.summary import Results, RunSummary
from tasks.reporting.wording import count, joined, plural, words

AGREED = {"preference": "the better answer", "label": "good or bad"}
FATES = ("used", "outvoted", "tied", "neither", "replaced", "withdrawn", "without", "set_aside")
SHOWN = 50  # judges, and models, that a table has


def judgements_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build the counts in words and tables of agreement, judges and ratings; None if nobody judged."""
    results = run.results
    position = next(iter(positions), "")
    metrics = results.metrics(position)
    if not metrics.get("lines"):
        return None
    fates = ", ".join(f"{count(metrics[fate])} {words(fate)}" for fate in FATES if metrics.get(fate))
    asked = f"{plural(metrics['lines'], 'line')} by {plural(metrics['judges'], 'judge')} on {plural(metrics['questions'], 'question')}"
    kinds = {"preferences": "preference pair", "labels": "labelled answer", "instructions": "conversation"}
    given = joined([plural(metrics[kind], noun) for kind, noun in kinds.items()])
    lead = f"{asked}: {fates}. They gave {given} to learn from."
    tables = [table for table in (_agreement(results, metrics), _ratings(results, position), _judges(results, position)) if table]
    return Section("judgements", "What people judged", lead, tables=tuple(tables))


JUDGEMENTS = Topic("judgements", 47, judgements_section)


def _agreement(results: Results, metrics: Mapping[str, float]) -> Table | None:
    """Return alpha by kind of question with its interval, and the bound that a gate holds it to."""
    bounds = {row[0].rpartition(".")[2]: row for gate in gates_of(results) for row in gate.rows}
    rows = []
    for kind, title in AGREED.items():
        name = f"{kind}_alpha"
        _, _, bound, _, verdict = bounds.get(name, ("", "", "no gate asks for it", "", ""))
        if name in metrics:
            value = (f"{metrics[name]:.2f}", f"{metrics[f'{name}_low']:.2f} to {metrics[f'{name}_high']:.2f}")
        elif verdict:
            value = ("not measured", "")
        else:
            continue
        rows.append(Row((title, *value, bound, verdict), "bad" if verdict not in ("", "passed") else ""))
    note = "Krippendorff's alpha: 1 is perfect agreement, 0 what chance gives. It needs questions that several judged."
    header = ("agreement on", "alpha", "95 % interval", "bound", "verdict")
    return Table("How far judges agree", header, tuple(rows), frozenset({1, 2}), note=note) if rows else None


def _ratings(results: Results, position: str) -> Table | None:
    found = results.json(position, "ratings.json") or []
    rows = [
        Row((row["model"], f"{row['points']:+.0f}", f"{row['low']:+.0f} to {row['high']:+.0f}", count(row["voices"]), f"{row['won']:g}"))
        for row in found[:SHOWN]
    ]
    note = "Bradley-Terry on Elo's scale: 400 points are odds of 10 to 1. Intervals that overlap leave open which is better."
    header = ("model", "rating", "95 % interval", "voices", "won")
    return Table("Ratings of models", header, tuple(rows), frozenset({1, 2, 3, 4}), note=note) if rows else None


def _judges(results: Results, position: str) -> Table | None:
    """Return what became of each judge's lines. A judge is named as the journal's file of theirs is."""
    fates: dict[str, Counter[str]] = {}
    for row in results.lines(position, "ledger.jsonl"):
        fates.setdefault(Path(row["file"]).stem, Counter())[row["fate"]] += 1
    shown = [fate for fate in FATES if any(found[fate] for found in fates.values())]
    most = sorted(fates.items(), key=lambda pair: (-pair[1].total(), pair[0]))[:SHOWN]
    rows = tuple(Row((judge, count(found.total()), *(count(found[fate]) for fate in shown))) for judge, found in most)
    header = ("judge", "lines", *map(words, shown))
    return Table("Judges", header, rows, frozenset(range(1, len(header)))) if rows else None
