"""`folio plan` as a table: what happens to each stage, why, what it took or will take, and how long the run will take.

Shards of a stage with the same action and reason share a line. The stages that take longest are listed with their expected range
and what it is based on; stages without comparable executions are counted, not guessed.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.forecast.forecast import Forecast, stage_seconds, total
from tasks.forecast.rates import Load, Range
from tasks.reporting.wording import plural
from tasks.stage.execution.plan import WORDS, Decision
from tasks.stage.store.old_artifacts import old_lines
from tasks.stage.system.progress import format_duration

SHARD = re.compile(r"\[[0-9]+\]")
MOST_CAUSES = 6
COLUMNS = 100
LISTED, SHARE = 6, 0.05  # stages that take at least this share of the time are listed, at most so many
BUSY = 1.5  # a machine that makes a process take so many times as long is called busy


@dataclass(frozen=True)
class TimeEstimate:
    """What a plan is expected to take: by stage, of what will certainly run, and of all that may.

    `forecasts`: by position; `stages`: the range of each and its basis; `unknown`: stages without an estimate; `written`: bytes.
    """

    forecasts: dict[str, Forecast]
    stages: dict[str, tuple[Range | None, str]]
    certain: Range
    most: Range
    unknown: tuple[str, ...]
    written: float
    cores: int
    load: Load

    @classmethod
    def of(cls, forecasts: Sequence[Forecast], cores: int, load: Load) -> TimeEstimate:
        """Return the estimate of a plan's forecasts."""
        by_stage: dict[str, list[Forecast]] = {}
        for forecast in forecasts:
            by_stage.setdefault(forecast.stage, []).append(forecast)
        stages: dict[str, tuple[Range | None, str]] = {}
        for stage, found in by_stage.items():
            longest = max(found, key=lambda one: one.seconds.likely if one.seconds else 0.0)
            stages[stage] = stage_seconds(found, cores), longest.basis
        known = {stage: seconds for stage, (seconds, _) in stages.items() if seconds is not None}
        certain = [seconds for stage, seconds in known.items() if by_stage[stage][0].decision.action == "run"]
        unknown = tuple(stage for stage in stages if stage not in known)
        written = sum(forecast.size or 0.0 for forecast in forecasts)
        by_position = {forecast.decision.position: forecast for forecast in forecasts}
        busy = load.slowdown(1.0) >= BUSY
        sure, most = (total(part, together=busy) for part in (certain, list(known.values())))
        return cls(by_position, stages, sure, most, unknown, written, cores, load)

    def row(self) -> dict[str, object]:
        """Return the estimate as plain data, for `folio plan --json`; seconds and bytes."""
        return {
            "certain": _ends(self.certain),
            "at_most": _ends(self.most),
            "stages": {stage: {"seconds": seconds and _ends(seconds), "basis": basis} for stage, (seconds, basis) in self.stages.items()},
            "unknown": list(self.unknown),
            "bytes": round(self.written),
            "load": round(self.load.running, 2),
            "cores": self.load.cores,
        }

    def words(self) -> str:
        """Return the estimate as a phrase."""
        if not self.most.likely:
            return "nothing tells how long it takes before it has run once" if self.unknown else "nothing to do"
        rest = f", and {plural(len(self.unknown), 'stage')} of unknown duration" if self.unknown else ""
        if self.certain == self.most or not self.certain.likely:
            return f"{span(self.most)}{rest}"
        return f"{span(self.certain)}, or {span(self.most)} if all that may run does{rest}"

    def lines(self) -> list[str]:
        """Return a table of the stages that decide how long the run takes, and whether the machine is busy; no line if none is known."""
        known = {stage: (seconds, basis) for stage, (seconds, basis) in self.stages.items() if seconds is not None}
        longest = sorted(known, key=lambda stage: -known[stage][0].likely)[:LISTED]
        listed = [stage for stage in known if stage in longest and known[stage][0].likely >= SHARE * self.most.likely]
        width = max(map(len, listed), default=0)
        lines = [f"{stage:{width}}  {short_span(known[stage][0]):>17}  {known[stage][1]}" for stage in listed]
        if lines and self.load.slowdown(1.0) >= BUSY:
            cores = plural(self.load.cores, "core")
            lines.append(f"This machine is busy: {self.load.running:.1f} threads want its {cores}. The low end is for an idle one.")
        return ["", *lines] if lines else []


def span(seconds: Range) -> str:
    """Return `about 3:10 (2:40 to 4:20)`."""
    return f"about {format_duration(seconds.likely)} ({format_duration(seconds.low)} to {format_duration(seconds.high)})"


def short_span(seconds: Range) -> str:
    """Return `2:40 - 4:20`."""
    return f"{format_duration(seconds.low)} - {format_duration(seconds.high)}"


def _ends(seconds: Range) -> dict[str, float]:
    return {"low": round(seconds.low, 1), "likely": round(seconds.likely, 1), "high": round(seconds.high, 1)}


def plan_table(decisions: Sequence[Decision], stopped: str, estimate: TimeEstimate) -> str:
    """Return the decisions as text. `stopped`: message of the gate that stops the flow, if one does."""
    groups: dict[tuple[str, str, tuple[str, ...]], list[Decision]] = {}
    for decision in decisions:
        causes = tuple(SHARD.sub("", _folded(cause)) for cause in decision.causes)
        groups.setdefault((_stage(decision.position), decision.action, causes), []).append(decision)
    sizes = {stage: sum(_stage(d.position) == stage for d in decisions) for stage, _, _ in groups}
    names = [_name(group, sizes[stage]) for (stage, _, _), group in groups.items()]
    width = max(map(len, names))
    lines = []
    for name, ((_, action, folded), group) in zip(names, groups.items(), strict=True):
        cost = _time(action, group, estimate)
        causes = (folded if len(group) > 1 else group[0].causes) or ("nothing it depends on has changed",)
        shown, rest = causes[:MOST_CAUSES], causes[MOST_CAUSES:]
        told = [line for cause in shown for line in _wrapped(_folded(cause), max(40, COLUMNS - width - 23))]
        told += [f"and {len(rest)} more (--json)"] if rest else []
        lines.append(f"{name:{width}}  {WORDS[action]:8} {cost:>9}  {told[0]}")
        lines += [f"{'':{width}}  {'':8} {'':>9}  {line}" for line in told[1:]]
    lines += _old_lines(decisions)
    lines += _acceptable_lines(decisions)
    counts = {word: sum(WORDS[d.action] == word for d in decisions) for word in WORDS.values()}
    done = ", ".join(f"{n} {word}" for word, n in counts.items() if n)
    lines += ["", *_wrapped(f"{done}; {estimate.words()}")]
    lines += estimate.lines()
    return "\n".join([*lines, stopped] if stopped else lines)


def _wrapped(text: str, columns: int = COLUMNS) -> list[str]:
    return textwrap.wrap(text, columns, break_long_words=False, break_on_hyphens=False)


def _folded(cause: str) -> str:
    """Name a stage once if a cause lists several of its shards."""
    names = re.findall(r"[\w.]+\[[0-9]+\]", cause)
    counts = Counter(_stage(name) for name in names)
    for stage, count in counts.items():
        if count > 1:
            cause = re.sub(rf"{re.escape(stage)}\[[0-9]+\](, {re.escape(stage)}\[[0-9]+\])+", f"{stage} x{count}", cause)
    return cause


def _time(action: str, group: Sequence[Decision], estimate: TimeEstimate) -> str:
    """Return the time that a reused stage took, or that a stage to run will likely take; `-` if unknown."""
    if action == "reuse":
        records = [d.artifact for d in group if d.artifact is not None]
        return format_duration(sum(record.cost.wall_seconds for record in records)) if records else "-"
    seconds = stage_seconds([estimate.forecasts[d.position] for d in group if d.position in estimate.forecasts], estimate.cores)
    return "-" if seconds is None else f"~{format_duration(seconds.likely)}"


def _old_lines(decisions: Sequence[Decision]) -> list[str]:
    """Return which artifacts another version of folio made, a sentence for each."""
    lines = old_lines({decision.position: decision.old for decision in decisions if decision.old is not None})
    return ["", *(line for sentence in lines for line in _wrapped(sentence))] if lines else []


def _acceptable_lines(decisions: Sequence[Decision]) -> list[str]:
    """Return what acceptances of changed code would keep, a line for each stage."""
    kept: dict[str, list[Decision]] = {}
    for decision in decisions:
        if decision.acceptable is not None and decision.old is None:
            kept.setdefault(_stage(decision.position), []).append(decision)
    lines = []
    for stage, group in kept.items():
        artifact, changes = group[0].acceptable, {change for decision in group for change in decision.changes}
        what = artifact.location if artifact is not None and len(group) == 1 else f"what {len(group)} shards have made"
        kept_by = f"{stage}: `folio accept` would keep {what}"
        lines += _wrapped(f"{kept_by} in spite of {plural(len(changes), 'change')} of what it read")
    return ["", *lines] if lines else []


def _name(group: Sequence[Decision], size: int) -> str:
    if len(group) == 1:
        return group[0].position
    return f"{_stage(group[0].position)} x{size}" if len(group) == size else f"{_stage(group[0].position)} ({len(group)} of {size})"


def _stage(position: str) -> str:
    return SHARD.sub("", position)
