"""Sections on tuning: what each step was for, what it changed in every metric, and what it learned and lost."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from model.rewards.answers import messages_of
from tasks.reporting.gates import TONES, WORDS, gates_of
from tasks.reporting.hook import Topic
from tasks.reporting.parts import Row, Section, Table, spread
from tasks.reporting.summary import TUNED, Results, RunSummary
from tasks.reporting.wording import count, number, seconds, share, size

HEADER = ("step", "measure", "unit", "before", "after", "better by", "measured on", "gate")


def aims_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build a table with a row for each step that was examined, in their order; None without any."""
    gates = {gate.name: gate for gate in gates_of(run.results)}
    rows = []
    for position in positions:
        step, told = position.partition(".")[2], run.results.json(position, "summary.json")
        gate = gates.get(step)
        state = gate.state if gate else ""
        verdict = (WORDS[state], TONES[state]) if gate else ("not judged", "quiet")
        rows.append(Row((step, *_cells(told), verdict[0]), verdict[1] if state != "passed" else ""))
    if not rows:
        return None
    lead = (
        "Each step was measured by its own aim, before and after it, on the same rows with the same seeds. The interval of the gain is "
        "over pairs of rows; a step passes its gate only if all of it is above 0, and if it costs no more elsewhere than its bounds allow."
    )
    table = Table("Before and after each step, by its own measure", HEADER, tuple(rows), frozenset({3, 4, 5}))
    return Section("aims", "What tuning was for", lead, tables=(table,))


AIMS = Topic("what tuning was for", 34, aims_section)


def _cells(told: Mapping[str, Any]) -> tuple[str, ...]:
    better = "lower is better" if told["lower_is_better"] else "higher is better"
    interval = f" ({number(told['gain_low'])} to {number(told['gain_high'])})" if "gain_low" in told else ""
    figures = (number(told["before"]), number(told["after"]), f"{number(told['gain'])}{interval}")
    return (f"{told['title']}; {better}", told["unit"], *figures, f"{count(told['units'])} {told['counted']}")


EFFECT_SHARES = ("questions.", "skills.", "copying.share", "copying.baseline")  # metrics that are fractions
BASE = "evaluate.base"


def effects_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build the table of metrics with an interval, before tuning and after each step; None unless two models have one in common."""
    results = run.results
    columns = models_measured(results, positions)
    names = dict.fromkeys(name for position in columns for name in results.metrics(position) if f"{name}_low" in results.metrics(position))
    rows = [Row((name, *(_cell(results, position, name) for position in columns))) for name in names]
    rows = [row for row in rows if sum(map(bool, row.cells[1:])) > 1]
    if not rows:
        return None
    header = ("metric", *columns.values())
    note = "Each value with its interval. A step whose interval lies beyond that of the model before it changed more than chance does."
    table = Table("Before and after each step", header, tuple(rows), frozenset(range(1, len(header))))
    return Section("tuning", "What tuning changed", note, tables=(table,))


def models_measured(results: Results, positions: Mapping[str, str]) -> dict[str, str]:
    """Return the positions where the base model and each step's model were measured, with titles, in the order they were made."""
    steps = [position.partition(".")[2] for position in results.positions("tune")]
    measured = {BASE: "base", **{f"evaluate.{name}": f"after {name}" for name in steps[:-1]}}
    measured |= {TUNED: f"after {steps[-1]}"} if steps else {}
    return {position: title for position, title in measured.items() if position in positions}


EFFECTS = Topic("what tuning changed", 32, effects_section)


def _cell(results: Results, position: str, name: str) -> str:
    metrics = results.metrics(position)
    if name not in metrics or f"{name}_low" not in metrics:
        return ""
    shown = share if name.startswith(EFFECT_SHARES) else number
    return f"{shown(metrics[name])} ({shown(metrics[f'{name}_low'])} to {shown(metrics[f'{name}_high'])})"


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


ADAPTER_SHARES = ("questions.", "skills.")  # metrics that are fractions
ADAPTERS_SHOWN = ("questions.seen", "questions.heldout")
FOLDER = "adapter/"


def adapters_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build the table, a row an adapter, after a row for the model that all start from."""
    results = run.results
    names = {position: position.partition(".")[2] for position in positions}
    measured = {position: results.metrics(f"evaluate.{name}") for position, name in names.items()}
    compared = _compared(measured)
    header = ("method", *compared, "trained", "of all", "weights in memory", "peak memory", "time", "steps", "on disk")
    start = results.metrics("evaluate.chat")
    rows = [Row(("before", *(_shown(metric, start) for metric in compared), *[""] * 7), "quiet")]
    rows += [_row(results, position, name, compared, measured[position]) for position, name in names.items()]
    note = (
        "All start from the same model and see the same rows in the same order. Weights in memory are those of one worker, its packed ones "
        "included; peak memory is all that its process took, libraries too. Each value stands with its interval."
    )
    table = Table("Adapters side by side", header, tuple(rows), frozenset(range(1, len(header))))
    return Section("adapters", "Adapters", note, tables=(table,))


ADAPTERS = Topic("adapters", 36, adapters_section)


def _compared(measured: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the metrics that tell quality: losses on the least seen split, and shares of questions and skills."""
    every = next(iter(measured.values()), {})
    losses = [f"{split}.bits_per_byte" for split in ("test", "val", "train") if f"{split}.bits_per_byte" in every][:1]
    return losses + [metric for metric in every if metric in ADAPTERS_SHOWN or (metric.startswith("skills.") and f"{metric}_low" in every)]


def _row(results: Results, position: str, name: str, compared: list[str], measured: Mapping[str, float]) -> Row:
    artifact, metrics = results.artifacts[position], results.metrics(position)
    own = [file.size for file in artifact.files if file.path.startswith(FOLDER)]
    disk = sum(own) if own else sum(file.size for file in artifact.files if file.path.endswith(".safetensors"))
    trained, held = metrics.get("trained_parameters", 0.0), metrics.get("weight_parameters", 0.0)
    cells = (
        name,
        *(_shown(metric, measured) for metric in compared),
        count(trained),
        share(trained / held) if held else "",
        size(metrics.get("weight_bytes", 0.0)),
        size(metrics.get("peak_memory_bytes", 0.0)),
        seconds(artifact.cost.wall_seconds),
        count(metrics.get("steps", 0.0)),
        size(disk),
    )
    return Row(cells)


def _shown(metric: str, measured: Mapping[str, float]) -> str:
    if metric not in measured:
        return ""
    shown = share if metric.startswith(ADAPTER_SHARES) else number
    interval = f" ({shown(measured[f'{metric}_low'])} to {shown(measured[f'{metric}_high'])})" if f"{metric}_low" in measured else ""
    return f"{shown(measured[metric])}{interval}"
