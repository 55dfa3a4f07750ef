"""The stages of a run: which were reused, which ran and why, what each cost, where each result is; and their lineage.

The shards of a stage are one row, with their total cost and the causes of those that ran.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tasks.reporting.hook import Topic
from tasks.reporting.lineage_drawing import SHORT, draw_run
from tasks.reporting.parts import Row, Section, Table
from tasks.reporting.summary import RunSummary
from tasks.reporting.wording import joined, plural, seconds
from tasks.stage.store.artifact import Artifact, Cost, without_shard
from tasks.stage.tracking.cost import Rates, total_cost

HEADER = ("stage", "state", "why", "wall", "CPU", "digest", "location", "made by run")
MOST_CAUSES = 4


def lineage_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build the drawing of what was made from what."""
    artifacts = run.results.artifacts
    if not artifacts:
        return None
    lead = "What was made from what, from left to right. Pale boxes were reused. Each box links to its row in the table below."
    return Section("lineage", "Lineage", lead, drawing=draw_run(artifacts, run.reused))


def stages_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build a row for every stage, including unfinished ones."""
    artifacts = run.results.artifacts
    if not run.causes and not artifacts:
        return None
    by_base: dict[str, list[str]] = {}
    for position in dict.fromkeys([*run.causes, *artifacts]):
        by_base.setdefault(without_shard(position), []).append(position)
    rows = [_row(run, base, shards) for base, shards in by_base.items()]
    whole = total_cost(artifacts.values())
    new = total_cost(artifact for position, artifact in artifacts.items() if position not in run.reused)
    ran = len(artifacts) - len(run.reused)
    work = f"{ran}, for {spent(new, run.rates)}" if ran else "none"
    lead = f"Everything behind this model took {spent(whole, run.rates)}. "
    lead += f"This run reused {plural(len(run.reused), 'stage')} and ran {work}."
    table = Table("", HEADER, tuple(rows), frozenset({3, 4}), frozenset({0, 5, 6, 7}))
    return Section("stages", "Stages and cost", lead, tables=(table,))


def spent(cost: Cost, rates: Rates) -> str:
    """Return a cost in words: work, CPU, and accelerators and money if there are any."""
    parts = [f"{seconds(cost.wall_seconds)} of work", f"{seconds(cost.cpu_seconds)} of CPU"]
    parts += [f"{seconds(cost.gpu_seconds)} of GPU"] if cost.gpu_seconds else []
    money = rates.price(cost)
    parts += [f"{money:,.2f} {rates.currency}" if money >= 0.005 else f"{money:.2g} {rates.currency}"] if money is not None else []
    return ", ".join(parts)


LINEAGE = Topic("lineage", 120, lineage_section)
STAGE_TABLE = Topic("stages", 130, stages_section)


def _row(run: RunSummary, base: str, positions: list[str]) -> Row:
    present = {position: run.results.artifacts[position] for position in positions if position in run.results.artifacts}
    missing = len(positions) - len(present)
    reused = [position for position in present if position in run.reused]
    why = _why(run, base, positions)
    shown = "; ".join(why[:MOST_CAUSES]) + (f"; and {len(why) - MOST_CAUSES} more" if len(why) > MOST_CAUSES else "")
    if not present:
        return Row((base, "unfinished", shown, "", "", "", "", ""), "bad", f"stage-{base}")
    # A stage that was to run is reused after all if another run made its result meanwhile.
    reason = shown or ("unchanged" if len(reused) == len(present) else "")
    cost = total_cost(present.values())
    cells = (seconds(cost.wall_seconds), seconds(cost.cpu_seconds), *_location(list(present.values())))
    tone = "bad" if missing else "quiet" if len(reused) == len(present) else ""
    name = base if len(positions) == 1 else f"{base} × {len(positions)}"
    return Row((name, _state(len(positions), len(reused), missing), reason, *cells), tone, f"stage-{base}")


def _state(count: int, reused: int, missing: int) -> str:
    ran = count - reused - missing
    if count == 1:
        return "reused" if reused else "ran"
    words = ((reused, "reused"), (ran, "ran"), (missing, "unfinished"))
    return ", ".join(f"{number} {word}" for number, word in words if number)


def _why(run: RunSummary, base: str, positions: list[str]) -> list[str]:
    """Return the causes, each with the shards that it made run unless those are all."""
    shards_of: dict[str, list[str]] = {}
    for position in positions:
        for cause in run.causes.get(position, ()):
            shards_of.setdefault(cause, []).append(position.removeprefix(base).strip("[]"))
    return [cause if len(shards) == len(positions) else f"shard {joined(shards)}: {cause}" for cause, shards in shards_of.items()]


def _location(artifacts: Iterable[Artifact]) -> tuple[str, str, str]:
    """Return digest, location and the run that made it; of shards, only the location that they share."""
    first, *others = artifacts
    if others:
        return "", f"{first.location.rpartition('-')[0].rpartition('-')[0]}-*", ""
    return first.digest[:SHORT], first.location, first.origin.run_id or first.origin.mlflow_run_id
