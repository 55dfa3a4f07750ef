"""Show pairs made by principles: how many answers became pairs, why others did not, and some with their critiques."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.reporting.hook import Topic
from tasks.reporting.parts import Row, Section, Table, spread
from tasks.reporting.summary import RunSummary
from tasks.reporting.wording import count

PAIRS = "pairs_train.jsonl"
ASIDE = "train_set_aside."
SHOWN, LONGEST = 8, 300


def revisions_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build two tables for each step that had its pairs made so."""
    tables = list[Table]()
    for position, title in positions.items():
        metrics, lines = run.results.metrics(position), run.results.lines(position, PAIRS)
        step = position.partition(".")[2] or title
        became = [Row(("pairs to learn from", count(metrics["train_pairs"])))]
        became += [
            Row((f"set aside: {name.removeprefix(ASIDE).replace('_', ' ')}", count(value)))
            for name, value in metrics.items()
            if name.startswith(ASIDE)
        ]
        asked = count(metrics["train_questions"])
        tables.append(Table(f"{step}: what became of {asked} answers", ("outcome", "answers"), tuple(became), right=frozenset({1})))
        chosen = spread(len(lines), SHOWN)
        tables.append(
            Table(
                f"{step}: answers and their revisions",
                ("question", "answer", "critique", "revision"),
                tuple(_row(lines[n]) for n in chosen),
            )
        )
    if not tables:
        return None
    lead = (
        "The model answered, a critic said how the answer breaks a principle, and revised it. The revision is preferred to the answer. "
        "All of it is generated, and marked so in its files."
    )
    return Section("revisions", "What principles changed", lead, tables=tuple(tables))


REVISIONS = Topic("revisions", 41, revisions_section)


def _row(line: Mapping[str, Any]) -> Row:
    critiques = " / ".join(said["critique"] for said in line["rounds"])
    told = (line["messages"][-1]["content"], line["rejected"], critiques, line["chosen"])
    return Row(tuple(str(text)[:LONGEST] for text in told))
