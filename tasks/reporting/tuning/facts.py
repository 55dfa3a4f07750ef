"""Show what each tuning step learned and lost: questions whose answers became right, and those whose answers became wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from tasks.reporting.hook import Topic
from tasks.reporting.parts import Row, Section, Table, spread
from tasks.reporting.summary import Results, RunSummary
from tasks.reporting.tuning.effects import models_measured
from tasks.reporting.wording import count

ANSWERS = re.compile(r"answers_(.+)\.jsonl")
SHOWN, LONGEST = 12, 200


def facts_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build a table of counts and one of facts lost; None unless two models were asked the same questions."""
    counts, lost = list[Row](), list[Row]()
    for (before, _), (after, title) in pairwise(models_measured(run.results, positions).items()):
        for name, earlier, later in _asked_both(run.results, before, after):
            was, now = ({question for question, record in records.items() if record["right"]} for records in (earlier, later))
            counts.append(Row((title, name, *(count(len(some)) for some in (was, now, now - was, was - now, earlier)))))
            gone = [question for question in earlier if question in was - now]
            shown = [gone[place] for place in spread(len(gone), SHOWN)]
            lost += [Row((title, *_cut(question, earlier[question]["reply"], later[question]["reply"]))) for question in shown]
    if not counts:
        return None
    lead = "The same questions were asked before and after each step. A step may leave a share as it was and yet swap the facts in it."
    header = ("model", "questions", "right before", "right after", "learned", "lost", "asked")
    tables = [Table("What each step learned and lost", header, tuple(counts), frozenset(range(2, len(header))))]
    if lost:
        note = f"Up to {SHOWN} of each set; answers_*.jsonl has all replies."
        tables.append(Table("Facts that a step lost", ("model", "question", "right, before", "wrong, after"), tuple(lost), note=note))
    return Section("facts", "Facts learned and lost", lead, tables=tuple(tables))


FACTS = Topic("facts learned and lost", 33, facts_section)


def _asked_both(results: Results, before: str, after: str) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield the sets of questions that both models were asked, with what each answered, by question."""
    for file in sorted(file.path for file in results.artifacts[after].files):
        found = ANSWERS.fullmatch(file)
        if found and any(other.path == file for other in results.artifacts[before].files):
            earlier, later = ({line["question"]: line for line in results.lines(position, file)} for position in (before, after))
            if earlier.keys() == later.keys():
                yield found[1], earlier, later


def _cut(*texts: str) -> tuple[str, ...]:
    return tuple(text[:LONGEST] for text in texts)
