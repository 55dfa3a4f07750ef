"""Forecast how long each stage of a plan will take and how much it will write.

Stages are forecast in the plan's order, since one's expected output is the next one's input. Earlier executions,
of any recipe, give the rate (`rates.py`); for training without a comparable execution, the speed at which this machine
multiplies matrices gives it. Everything else that never ran has no estimate.
"""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path

from model.hardware.waiting import cores
from model.planning.machine import glanced_machine
from tasks.forecast.execution import Execution, History, Source
from tasks.forecast.hook import WorkHook, work_hook
from tasks.forecast.rates import Load, Range, Sample, predict, utilization
from tasks.stage.execution.plan import Decision
from tasks.stage.identity.key import stable
from tasks.stage.store.artifact import Artifact, ArtifactPart, PendingArtifact, StageInput, without_shard

SAME = 0.1  # of the logarithm of work: less than a tenth more or less is called the same
DISTURBED = 0.6  # an earlier execution that had less than this share of what it could use is called disturbed
GUESSED = 2.5  # a speed of matrix products instead of a measured one: a factor of so much either way


@dataclass(frozen=True)
class Forecast:
    """The forecast of one execution, and its evidence. `seconds`, `size` (bytes written): None if nothing tells."""

    decision: Decision
    seconds: Range | None
    basis: str
    size: float | None

    @property
    def stage(self) -> str:
        """The position without its shard."""
        return without_shard(self.decision.position)


class Forecaster:
    """Forecasts the executions of one plan. `root`: where the recipe's paths start; `cores`: how many of them the run may use."""

    def __init__(self, history: History, root: Path, cores: int, load: Load) -> None:
        self.history, self.root, self.load = history, root, load
        self.cores = min(cores, load.cores)
        self._planned: dict[str, Execution] = {}
        self._machine = cache(glanced_machine)

    def forecasts(self, decisions: Sequence[Decision]) -> list[Forecast]:
        """Return a forecast of each decision that executes or may execute something."""
        return [self._forecast(decision) for decision in decisions if not self._reused(decision)]

    def _reused(self, decision: Decision) -> bool:
        if decision.artifact is not None:
            self._planned[decision.position] = self.history.of(decision.artifact)
        return decision.artifact is not None

    def _forecast(self, decision: Decision) -> Forecast:
        hook, last = work_hook(decision.stage), None if decision.last is None else self.history.of(decision.last)
        sources = {name: self._source(given) for name, given in decision.inputs.items()}
        plain = stable(decision.config, decision.position)
        wanted = Execution(decision.stage, plain if isinstance(plain, dict) else {}, sources, settings=decision.config, root=self.root)
        work = hook.work(wanted)
        if work is None and last is not None:
            # Nothing tells how much there is to do now, so it is taken to be as much as the last time.
            work = hook.work(last)
        known = self._comparable(hook, wanted, last)
        like = min(known, key=lambda one: _distance(one[1], work), default=None) if work is not None else None
        files = _expected_files(hook, wanted, like[0]) if like is not None else None
        # What it measured of its output, such as the vocabulary that it found, is expected of the same settings again.
        metrics = like[0].metrics if like is not None and like[0].config == wanted.config else {}
        self._planned[decision.position] = wanted = replace(wanted, files=files, metrics=metrics)
        seconds, basis = None, "it has never run"
        if work is not None and like is not None:
            samples = [_sample(record, amount) for record, amount in known]
            threads = self.cores if hook.all_cores else 1
            seconds = predict(samples, work, start=hook.start, threads=threads, load=self.load)
            basis = _basis(hook, work, *like, busy=utilization(samples, threads))
        elif known == [] and hook.operations and work is not None:
            seconds, basis = self._by_products(hook, wanted, work)
        elif decision.last is not None:
            basis = "how much there is to do is not known"
        return Forecast(decision, seconds, basis, wanted.written())

    def _source(self, given: StageInput) -> Source:
        if isinstance(given, PendingArtifact):
            return Source(self._planned.get(given.position), given.prefix)
        if isinstance(given, ArtifactPart):
            return Source(self.history.of(given.artifact), given.prefix)
        return Source(self.history.of(given))

    def _comparable(self, hook: WorkHook, wanted: Execution, last: Execution | None) -> list[tuple[Execution, float]]:
        """Return earlier executions of the stage with the work of each: on this machine or, if there are none, on others."""
        found = self.history.newest(wanted.stage)
        if last is not None and all(one.record != last.record for one in found):
            found.append(last)
        group = hook.group_of(wanted)
        known = [(one, amount) for one in found if hook.group_of(one) == group and (amount := hook.work(one)) is not None]
        here = [one for one in known if _record(one[0]).origin.host == socket.gethostname()]
        return here or known

    def _by_products(self, hook: WorkHook, wanted: Execution, work: float) -> tuple[Range, str]:
        """Return the time of that many operations at this machine's speed of matrix products, measured now."""
        precision = wanted.config.get("train", {}).get("precision", {}).get("kind", "fp32")
        machine = self._machine(precision)
        likely = hook.start + work / machine.flops
        # The speed was measured under the machine's current load.
        return Range(likely / GUESSED, likely, likely * GUESSED), f"not measured here: {machine.peak / 1e9:.0f} GFLOP/s at matrix products"


def load_now() -> Load:
    """Return how busy this machine is: over the last minute, and over the last quarter of an hour."""
    running, _, long = os.getloadavg()
    return Load(running, long, cores())


def stage_seconds(forecasts: Sequence[Forecast], cores: int) -> Range | None:
    """Return the seconds of one stage's forecasts, its shards worked on as many at a time as there are cores; None if one is not known."""
    seconds = [one.seconds for one in forecasts if one.seconds is not None]
    if not seconds or len(seconds) < len(forecasts):
        return None
    whole = total(seconds).times(1 / min(cores, len(seconds)))
    return Range(*(max(getattr(whole, end), *(getattr(one, end) for one in seconds), 0.0) for end in ("low", "likely", "high")))


def total(ranges: Sequence[Range], *, together: bool = False) -> Range:
    """Add up times. Errors are independent, so their squares add up; `together`: all err alike, as on a busy machine."""
    likely = sum(one.likely for one in ranges)
    if together:
        return Range(sum(one.low for one in ranges), likely, sum(one.high for one in ranges))
    below, above = (math.hypot(*(getattr(one, end) - one.likely for one in ranges)) if ranges else 0.0 for end in ("low", "high"))
    return Range(max(likely - below, sum(one.low for one in ranges)), likely, likely + above)


def _record(execution: Execution) -> Artifact:
    assert execution.record is not None
    return execution.record


def _sample(execution: Execution, work: float) -> Sample:
    cost = _record(execution).cost
    return Sample(work, cost.cpu_seconds, cost.wall_seconds, accelerated=cost.gpu_seconds > 0)


def _distance(before: float, work: float | None) -> float:
    return abs(math.log(max(work or 1.0, 1.0) / max(before, 1.0)))


def _expected_files(hook: WorkHook, wanted: Execution, like: Execution) -> dict[str, float]:
    """Return the files that the nearest earlier execution wrote, as much larger as this one is expected to write."""
    size, was = hook.written(wanted), hook.written(like)
    factor = size / was if size and was else 1.0
    return {path: written * factor for path, written in (like.files or {}).items()}


def _basis(hook: WorkHook, work: float, like: Execution, before: float, *, busy: float) -> str:
    record = _record(like)
    day = datetime.fromisoformat(record.origin.created)
    words = f"like {record.label.partition('-')[0]} of {day.day} {day:%B}"
    if record.origin.host != socket.gethostname():
        words += f" on {record.origin.host}"
    factor = work / before if before else 1.0
    if abs(math.log(max(factor, 1e-9))) > SAME:
        words += f", {factor:.2g}x the {hook.unit}" if factor < 100 else f", {factor:,.0f}x the {hook.unit}"
    cost = record.cost
    if hook.all_cores and not cost.gpu_seconds and cost.cpu_seconds < DISTURBED * busy * cost.wall_seconds:
        words += ", as if alone"
    return words
