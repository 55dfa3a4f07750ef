"""What an assistant can do, by skill: before tuning and after it, beside the stated baseline, item by item."""

from __future__ import annotations

from collections.abc import Mapping

from tasks.reporting.compared.standing import TUNED
from tasks.reporting.hook import Topic
from tasks.reporting.parts import Row, Section, Table
from tasks.reporting.summary import RunSummary
from tasks.reporting.wording import count, share

BASE = "evaluate.base"
# What each baseline knows and does, as `data/skills` says it.
BASELINES = {
    "answer": "guesses a value of the right kind",
    "summarize": "states true facts of the world, of any book",
    "format": "has the format right, and guesses the values",
    "explain": "has the form right, and guesses the town between",
    "program": "writes the right program, from a guessed town",
    "decline": "declines everything",
}


def skills_of(metrics: Mapping[str, float]) -> list[str]:
    """Return the skills that were measured, in their order."""
    return [
        name.removeprefix("skills.").removesuffix(".baseline")
        for name in metrics
        if name.startswith("skills.") and name.endswith(".baseline")
    ]


def skill_rows(before: Mapping[str, float], after: Mapping[str, float]) -> list[tuple[str, ...]]:
    """Return a row a skill: name, items, the baseline's share, the model's before and after, and the gain over the baseline."""
    return [
        (
            skill,
            count(after[f"skills.{skill}_count"]),
            share(after[f"skills.{skill}.baseline"]),
            _interval(before, f"skills.{skill}"),
            _interval(after, f"skills.{skill}"),
            _interval(after, f"skills.{skill}.gain"),
            share(after[f"skills.{skill}.heldout"]) if f"skills.{skill}.heldout" in after else "",
        )
        for skill in skills_of(after)
    ]


HEADER = ("skill", "items", "baseline", "before tuning", "after", "gain over the baseline", "of held-out facts")


def skills_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build the table; None unless skills were measured of the tuned model."""
    before, after = (run.results.metrics(position) if position in positions else {} for position in (BASE, TUNED))
    rows = tuple(
        Row((*cells, BASELINES.get(cells[0], "")), "" if after[f"skills.{cells[0]}.gain_low"] > 0 else "warned")
        for cells in skill_rows(before, after)
    )
    if not rows:
        return None
    note = (
        "Items ask in wordings that no example used, most of them of facts that no example stated, and rules score the replies. A gain is "
        "over the items of both, pair by pair; where its interval reaches 0 or below, the skill is not shown to be more than the baseline."
    )
    table = Table("What it can do", (*HEADER, "what the baseline does"), rows, frozenset(range(1, len(HEADER))))
    return Section("skills", "What it can do", note, tables=(table,))


SKILLS = Topic("skills", 31, skills_section)


def _interval(metrics: Mapping[str, float], name: str) -> str:
    if name not in metrics:
        return ""
    return f"{share(metrics[name])} ({share(metrics[f'{name}_low'])} to {share(metrics[f'{name}_high'])})"
