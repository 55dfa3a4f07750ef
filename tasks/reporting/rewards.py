"""Rewards and revisions: each reward by step with sampled replies, and the pairs that principles made of answers.

Show the rewards: each reward by step, the verifiers, and sampled replies with their rewards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from tasks.reporting.charts import Curve, curve_chart
from tasks.reporting.hook import Topic
from tasks.reporting.learning import running_mean, series
from tasks.reporting.page_cache import cached
from tasks.reporting.parts import Figure, Row, Section, Table, figure, spread
from tasks.reporting.summary import Results, RunSummary
from tasks.reporting.wording import count, number

REPLIES = "replies.jsonl"
REPLIES_SHOWN, LONGEST_REPLY = 6, 300
TONES = ("strong", "other", "quiet")
WATCHED = (("entropy", "entropy of sampling", "nats a token"), ("kl", "divergence from the model before", "nats a token"))


def rewards_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build the curves of each reward and a table of replies, of each step that learned from sampled replies."""
    figures, tables = list[Figure](), list[Table]()
    for position, title in positions.items():
        if cycles := _cycles(run.results, position):
            figures += _figures(run.results.lines(position, "history.jsonl"), title)
            tables += [_table(run.results, position, title, cycles)]
    if not tables:
        return None
    lead = (
        "Replies were sampled, rewarded and learned from. A verifier, if there is one, marks them and rewards nothing: where rewards rise "
        "and it does not, the model pleases the rewards instead of answering."
    )
    return Section("rewards", "What was rewarded", lead, tuple(figures), tables=tuple(tables))


REWARDS = Topic("rewards", 42, rewards_section)


def _cycles(results: Results, position: str) -> list[str]:
    """Return the files of a step's replies, the first cycle's first."""
    return sorted(file.path for file in results.artifacts[position].files if file.path.endswith(f"/{REPLIES}"))


def _figures(lines: Sequence[dict[str, Any]], title: str) -> list[Figure]:
    names = [name for name in (lines[0] if lines else {}) if name.startswith("reward_") or name == "verified"]
    drawn = [
        Curve(name.removeprefix("reward_"), running_mean(series(lines, name)), TONES[place % len(TONES)])
        for place, name in enumerate(names)
    ]
    found = [_chart(f"{title}: each reward", "mean reward, with its weight", drawn)] if drawn else []
    return found + [
        _chart(f"{title}: {caption}", unit, [Curve(name, running_mean(series(lines, name)), "strong")])
        for name, caption, unit in WATCHED
        if series(lines, name)
    ]


def _chart(caption: str, unit: str, curves: list[Curve]) -> Figure:
    def draw(width: float) -> Markup:
        return cached(curve_chart, curves, width=width, height=0.5 * width + 40, x_label="step", y_label=unit, logarithmic=False)

    return figure(caption, draw, "Running means.")


def _table(results: Results, position: str, title: str, cycles: Sequence[str]) -> Table:
    """Build a table of replies of the first and the last cycle, spread over each."""
    rows = list[Row]()
    for cycle in dict.fromkeys((cycles[0], cycles[-1])):
        replies = results.lines(position, cycle)
        chosen = spread(len(replies), REPLIES_SHOWN)
        rows += [_reply_row(cycle, replies[place]) for place in chosen]
    verified = ("verifier",) if any(len(row.cells) == 6 for row in rows) else ()
    header = ("cycle", "question", "reply", "reward", "of which", *verified)
    return Table(f"{title}: replies of the first and the last cycle", header, tuple(rows), right=frozenset({3, 5}))


def _reply_row(cycle: str, reply: Mapping[str, Any]) -> Row:
    apart = ", ".join(f"{name} {number(value)}" for name, value in reply["rewards"].items())
    text = str(reply["reply"])[:LONGEST_REPLY] + ("" if reply["ended"] else " …")
    verified = (number(reply["verified"]),) if "verified" in reply else ()
    place = str(int(cycle.split("/")[-2].removeprefix("cycle-")) + 1)
    return Row((place, str(reply["question"])[:LONGEST_REPLY], text, number(reply["reward"]), apart, *verified))


PAIRS = "pairs_train.jsonl"
ASIDE = "train_set_aside."
REVISIONS_SHOWN, LONGEST_REVISION = 8, 300


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
        chosen = spread(len(lines), REVISIONS_SHOWN)
        tables.append(
            Table(
                f"{step}: answers and their revisions",
                ("question", "answer", "critique", "revision"),
                tuple(_revision_row(lines[n]) for n in chosen),
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


def _revision_row(line: Mapping[str, Any]) -> Row:
    critiques = " / ".join(said["critique"] for said in line["rounds"])
    told = (line["messages"][-1]["content"], line["rejected"], critiques, line["chosen"])
    return Row(tuple(str(text)[:LONGEST_REVISION] for text in told))
