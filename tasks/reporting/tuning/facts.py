"""Show what each tuning step learned and lost: questions whose answers became right, and those whose answers became wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from model.rewards.answers import messages_of
from tasks.reporting.hook import Topic
from tasks.reporting.parts import Row, Section, Table, spread
from tasks.reporting.summary import Results, RunSummary
from tasks.reporting.tuning.effects import models_measured
from tasks.reporting.wording import count

ANSWERS = re.compile(r"answers_(.+)\.jsonl")
SHOWN, LONGEST = 12, 200
Answers = Mapping[str, Mapping[str, Any]]


def facts_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build a table of counts and one of facts lost; None unless two models were asked the same questions."""
    counts, lost = list[Row](), list[Row]()
    models = [(title, _answers(run.results, position)) for position, title in models_measured(run.results, positions).items()]
    for (_, before), (title, after) in pairwise(models):
        for name in (name for name in after if after[name].keys() == before.get(name, {}).keys()):
            earlier, later = before[name], after[name]
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


def _answers(results: Results, position: str) -> dict[str, Answers]:
    """Return what a model answered, by set of questions and by question."""
    named = {found[1]: file.path for file in results.artifacts[position].files if (found := ANSWERS.fullmatch(file.path))}
    return {name: {_asked(line): line for line in results.lines(position, named[name])} for name in sorted(named)}


def _asked(answer: Mapping[str, Any]) -> str:
    """Return what was asked, with the questions that it follows."""
    return " ".join(said["content"] for said in messages_of(answer) if said["role"] == "user")


def _cut(*texts: str) -> tuple[str, ...]:
    return tuple(text[:LONGEST] for text in texts)
