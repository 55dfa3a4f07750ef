"""`folio plan` as a table: what happens to each stage, why, what it last cost, and how long the run will take.

Shards of a stage that share an action and its reason share a line. The estimate adds up what stages took when they last ran, with as many
shards at once as there are cores; stages that never ran are counted, not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.reporting.wording import plural
from tasks.stage.execution.plan import WORDS, Decision
from tasks.stage.system.progress import format_duration

SHARD = re.compile(r"\[[0-9]+\]")
MOST_CAUSES = 6


@dataclass(frozen=True)
class TimeEstimate:
    """Wall seconds of what will certainly run and of all that may, and how many stages or shards of that never ran."""

    seconds: float
    seconds_at_most: float
    unmeasured: int

    @classmethod
    def of(cls, decisions: Sequence[Decision], cores: int) -> TimeEstimate:
        """Return the estimate from what each stage took when it last ran."""
        ahead = [d for d in decisions if d.action != "reuse"]
        certain = [d for d in ahead if d.action == "run"]
        return cls(_seconds(certain, cores), _seconds(ahead, cores), sum(d.last is None for d in ahead))

    def words(self) -> str:
        """Return the estimate as a phrase."""
        if not self.seconds_at_most:
            return "how long is not known before they have run once" if self.unmeasured else "nothing to do"
        rest = f", and {self.unmeasured} that never ran" if self.unmeasured else ""
        if self.seconds == self.seconds_at_most:
            return f"about {format_duration(self.seconds)}{rest}"
        return f"about {format_duration(self.seconds)}, and at most {format_duration(self.seconds_at_most)} if all that may run does{rest}"


def _seconds(decisions: Sequence[Decision], cores: int) -> float:
    shards: dict[str, list[float]] = {}
    for decision in decisions:
        if decision.last is not None:
            shards.setdefault(_stage(decision.position), []).append(decision.last.cost.wall_seconds)
    return round(sum(max(max(spent), sum(spent) / min(cores, len(spent))) for spent in shards.values()), 1)


def plan_table(decisions: Sequence[Decision], stopped: str, cores: int) -> str:
    """Return the decisions as text. `stopped`: message of the gate that stops the flow, if one does."""
    groups: dict[tuple[str, str, tuple[str, ...]], list[Decision]] = {}
    for decision in decisions:
        causes = tuple(SHARD.sub("", cause) for cause in decision.causes)
        groups.setdefault((_stage(decision.position), decision.action, causes), []).append(decision)
    sizes = {stage: sum(_stage(d.position) == stage for d in decisions) for stage, _, _ in groups}
    names = [_name(group, sizes[stage]) for (stage, _, _), group in groups.items()]
    width = max(map(len, names))
    lines = []
    for name, ((_, action, folded), group) in zip(names, groups.items(), strict=True):
        records = [record for d in group if (record := d.artifact or d.last)]
        cost = format_duration(sum(record.cost.wall_seconds for record in records)) if records else "-"
        causes = (folded if len(group) > 1 else group[0].causes) or ("nothing it depends on has changed",)
        lines.append(f"{name:{width}}  {WORDS[action]:8} {cost:>8}  {causes[0]}")
        shown, rest = causes[1:MOST_CAUSES], causes[MOST_CAUSES:]
        lines += [f"{'':{width}}  {'':8} {'':>8}  {cause}" for cause in shown]
        if rest:
            lines.append(f"{'':{width}}  {'':8} {'':>8}  and {len(rest)} more (folio plan --json)")
    lines += _acceptable_lines(decisions)
    counts = {word: sum(WORDS[d.action] == word for d in decisions) for word in WORDS.values()}
    lines.append(f"\n{', '.join(f'{n} {word}' for word, n in counts.items() if n)}; {TimeEstimate.of(decisions, cores).words()}")
    return "\n".join([*lines, stopped] if stopped else lines)


def _acceptable_lines(decisions: Sequence[Decision]) -> list[str]:
    """Return what acceptances of changed code would keep, a line for each stage."""
    kept: dict[str, list[Decision]] = {}
    for decision in decisions:
        if decision.acceptable is not None:
            kept.setdefault(_stage(decision.position), []).append(decision)
    lines = []
    for stage, group in kept.items():
        artifact, changes = group[0].acceptable, {change for decision in group for change in decision.changes}
        what = artifact.location if artifact is not None and len(group) == 1 else f"what {len(group)} shards have made"
        lines.append(f"{stage}: folio accept {stage} would keep {what} in spite of {plural(len(changes), 'change')} of what it read")
    return ["", *lines] if lines else []


def _name(group: Sequence[Decision], size: int) -> str:
    if len(group) == 1:
        return group[0].position
    return f"{_stage(group[0].position)} x{size}" if len(group) == size else f"{_stage(group[0].position)} ({len(group)} of {size})"


def _stage(position: str) -> str:
    return SHARD.sub("", position)
