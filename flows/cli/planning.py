"""`folio plan`, `folio accept`, `--refresh`: walk the pipeline without executing it, and act on its decisions.

`folio plan` as a table: what happens to each stage, why, what it took or will take, and how long the run will take.

Shards of a stage with the same action and reason share a line. The stages that take longest are listed with their expected range
and what it is based on; stages without comparable executions are counted, not guessed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.cli.running import checkpoint_step
from flows.pipeline import compose
from flows.recipe.loading import load
from flows.recipe.schema import Recipe
from flows.recipe.validation import RecipeError
from tasks.forecast.execution import History
from tasks.forecast.forecast import Forecast, Forecaster, load_now, stage_seconds, total
from tasks.forecast.rates import Load, Range
from tasks.gate import GateFailed
from tasks.reporting.wording import plural
from tasks.stage.execution.approving import NotAcceptable, accept
from tasks.stage.execution.plan import WORDS, Decision, position_names
from tasks.stage.execution.run import RunOptions, use_options
from tasks.stage.execution.run_context import open_run
from tasks.stage.stage import STAGES, Stage
from tasks.stage.store.artifact import without_shard
from tasks.stage.store.old_artifacts import old_lines
from tasks.stage.store.store import Store
from tasks.stage.system.columns import terminal_width, wrapped
from tasks.stage.system.command_line import did_you_mean
from tasks.stage.system.progress import format_duration

SHARD = re.compile(r"\[[0-9]+\]")
MOST_CAUSES = 6
LEAST_COLUMNS = 24  # of a cause, however narrow the terminal
LISTED, SHARE = 6, 0.05  # stages that take at least this share of the time are listed, at most so many
BUSY = 1.5  # a machine that makes a process take so many times as long is called busy


@dataclass(frozen=True)
class TimeEstimate:
    """The expected cost of a plan: by stage, of what will certainly run, and of all that may.

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
        if self.certain == self.most or not self.certain.likely:
            return self.at_most()
        return f"{span(self.certain)}, or {self.at_most(' if all that may run does')}"

    def at_most(self, condition: str = "") -> str:
        """Return what all that may run takes as a phrase, and how many stages it leaves out."""
        rest = f", and {plural(len(self.unknown), 'stage')} of unknown duration" if self.unknown else ""
        return f"{span(self.most)}{condition}{rest}"

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
        head = f"{name:{width}}  {WORDS[action]:8} {cost:>9}  "
        beside = terminal_width() - len(head) >= LEAST_COLUMNS
        margin = " " * (len(head) if beside else 4)
        told = [line for cause in shown for line in wrapped(_folded(cause), margin, margin)]
        told += [f"{margin}and {len(rest)} more (--json)"] if rest else []
        lines += [head + told[0].lstrip(), *told[1:]] if beside else [head.rstrip(), *told]
    lines += _old_lines(decisions)
    lines += _acceptable_lines(decisions)
    counts = {word: sum(WORDS[d.action] == word for d in decisions) for word in WORDS.values()}
    done = ", ".join(f"{n} {word}" for word, n in counts.items() if n)
    lines += ["", *wrapped(f"{done}; {estimate.words()}", rest="")]
    lines += estimate.lines()
    return "\n".join([*lines, stopped] if stopped else lines)


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
    return ["", *(line for sentence in lines for line in wrapped(sentence, rest=""))] if lines else []


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
        lines += wrapped(f"{kept_by} in spite of {plural(len(changes), 'change')} of what it read", rest="")
    return ["", *lines] if lines else []


def _name(group: Sequence[Decision], size: int) -> str:
    if len(group) == 1:
        return group[0].position
    return f"{_stage(group[0].position)} x{size}" if len(group) == size else f"{_stage(group[0].position)} ({len(group)} of {size})"


def _stage(position: str) -> str:
    return SHARD.sub("", position)


@dataclass(frozen=True)
class Plan:
    """Every decision in order. `stopped`: the message of the gate that would stop the flow, if any."""

    recipe: Recipe
    store: Store
    decisions: list[Decision]
    stopped: str

    def estimate(self) -> TimeEstimate:
        """Return how long the run will take, judging by earlier runs in the store and this machine's load."""
        cores, load = self.recipe.resources.cores, load_now()
        forecaster = Forecaster(History(self.store), Path(self.recipe.root).resolve(), cores, load)
        return TimeEstimate.of(forecaster.forecasts(self.decisions), cores, load)

    def ahead(self, estimate: TimeEstimate) -> list[str]:
        """Return how many stages are to run and how long they take, and those that an interrupted run has left a checkpoint of."""
        due = [decision for decision in self.decisions if decision.action != "reuse"]
        certain = {without_shard(decision.position) for decision in due if decision.action == "run"}
        rest = len({without_shard(decision.position) for decision in due} - certain)
        if rest and estimate.certain.likely:
            lines = [
                f"{plural(len(certain), 'stage')} ahead: {span(estimate.certain)}",
                f"with {rest} more that may run: {estimate.at_most()}",
            ]
        else:
            lines = [f"{plural(len(certain), 'stage')} ahead{f', and {rest} that may run' if rest else ''}: {estimate.words()}"]
        for decision in due:
            if step := checkpoint_step(self.store, decision.position, decision.key) if decision.key else 0:
                lines.append(f"{decision.position} was interrupted after step {step}, which shortens it")
        return lines


def plan_recipe(name: str, changes: tuple[str, ...], refresh: frozenset[str], verify: bool) -> Plan:
    """Return what a run would do. Changes nothing."""
    return walk(load(name, changes), refresh, verify)


def walk(recipe: Recipe, refresh: frozenset[str] = frozenset(), verify: bool = False) -> Plan:
    """Return what a run of a recipe would do. Changes nothing."""
    stopped = ""
    with use_options(RunOptions(planning=True, refresh=refresh, verify=verify)), open_run(**recipe.run_settings()) as run:
        try:
            compose(recipe)
        except GateFailed as failed:
            stopped = str(failed)
    return Plan(recipe, run.store, run.decisions, stopped)


def precision_line(recipe: Recipe) -> str:
    """Return what each training's `auto` precision resolves to on this machine; empty if none is `auto`."""
    steps = {
        **({"pretrain": recipe.pretrain} if recipe.takes_steps else {}),
        **{f"tune.{step.name}": step for step in recipe.tuning},
        **{f"adapt.{step.name}": step for step in recipe.adapters},
    }
    found = {name: (step.precision.kind, step.resolved().precision.kind) for name, step in steps.items()}
    told = [f"{name}: precision={asked} is {comes_to} on this machine" for name, (asked, comes_to) in found.items() if asked != comes_to]
    return "\n".join(["", *told]) if told else ""


def accept_changes(position: str, name: str, changes: tuple[str, ...], reason: str) -> str:
    """Record that what changed at a position does not alter its output, and return what was accepted.

    Raises RecipeError for an unknown stage, and NotAcceptable if nothing there may be accepted.
    """
    check_stage_name(position, "accept")
    plan = plan_recipe(name, changes, frozenset(), False)
    due = [d for d in plan.decisions if position in position_names(d.position) and d.action != "reuse"]
    if not due:
        raise NotAcceptable(f"{position}: there is nothing to accept; {plan.recipe.name} would reuse all it has there.")
    accepted = [accept(plan.store, plan.recipe.name, decision, reason) for decision in due]
    return "\n".join(f"{one.position}: {'; '.join(one.causes)}\n  accepted by {one.who}: {one.reason}" for one in accepted)


def stages() -> dict[str, Stage]:
    """Return the stages of the pipeline by name."""
    return STAGES


def check_stage_name(name: str, option: str) -> None:
    """Raise RecipeError, naming the option, if a name is neither a stage nor a position such as evaluate.base or clean[3]."""
    known = stages()
    if position_names(name)[-1] not in known:
        hint = did_you_mean(name, list(known)) or f"; the stages are {', '.join(known)}."
        raise RecipeError(f"{option} {name!r}: there is no stage of that name{hint}")


def stages_to_refresh(names: Sequence[str], recipe: str, changes: tuple[str, ...]) -> frozenset[str]:
    """Return what `--refresh` names: stages, or positions such as evaluate.base or clean[3].

    Raises RecipeError for any other name, and for a position that the recipe does not have.
    """
    for name in names:
        check_stage_name(name, "--refresh")
    if names:
        plan = plan_recipe(recipe, changes, frozenset(), False)
        known = {name: None for decision in plan.decisions for name in position_names(decision.position)}
        # If a gate stops the plan, positions after it are unknown to the plan.
        if not plan.stopped and (unknown := [name for name in names if name not in known]):
            hint = did_you_mean(unknown[0], known) or f"; it has {', '.join(known)}."
            raise RecipeError(f"--refresh {unknown[0]!r}: {plan.recipe.name} has no such position{hint}")
    return frozenset(names)
