"""The stages of a run: which were reused and which ran and why, what each cost, where each result lies; and their lineage.

The shards of a stage are one row, with their cost together and the causes of those that ran.
"""

from __future__ import annotations

from collections.abc import Iterable

from tasks.lineage.graph import without_shard
from tasks.reporting.account import Account
from tasks.reporting.lineage_drawing import SHORT, draw_run
from tasks.reporting.parts import Row, Section, Table
from tasks.reporting.wording import joined, plural, seconds
from tasks.stage.store.artifact import Artifact, Cost
from tasks.stage.tracking.cost import Rates, total_cost

HEADER = ("stage", "state", "why", "wall", "CPU", "digest", "location", "MLflow run")
MOST_CAUSES = 4


def lineage_section(account: Account) -> Section | None:
    """The drawing of what was made from what."""
    artifacts = account.evidence.artifacts
    if not artifacts:
        return None
    lead = "From left to right: each result and all that was made from it. Pale ones were reused. A box leads to its row below."
    return Section("lineage", "Lineage", lead, drawing=draw_run(artifacts, account.reused))


def stages_section(account: Account) -> Section | None:
    """A row for every stage, also for one that was begun and did not finish."""
    artifacts = account.evidence.artifacts
    if not account.causes and not artifacts:
        return None
    together: dict[str, list[str]] = {}
    for place in dict.fromkeys([*account.causes, *artifacts]):
        together.setdefault(without_shard(place), []).append(place)
    rows = [_row(account, base, places) for base, places in together.items()]
    whole = total_cost(artifacts.values())
    new = total_cost(artifact for place, artifact in artifacts.items() if place not in account.reused)
    ran = len(artifacts) - len(account.reused)
    work = f"{ran}, for {spent(new, account.rates)}" if ran else "none"
    lead = f"All that this model is made of took {spent(whole, account.rates)}. "
    lead += f"This run reused {plural(len(account.reused), 'stage')} and ran {work}."
    table = Table("", HEADER, tuple(rows), frozenset({3, 4}), frozenset({0, 5, 6, 7}))
    return Section("stages", "Stages and cost", lead, tables=(table,))


def spent(cost: Cost, rates: Rates) -> str:
    """A cost in a few words: work, CPU, accelerators and money where there are any."""
    parts = [f"{seconds(cost.wall_seconds)} of work", f"{seconds(cost.cpu_seconds)} of CPU"]
    parts += [f"{seconds(cost.gpu_seconds)} of GPU"] if cost.gpu_seconds else []
    money = rates.price(cost)
    parts += [f"{money:,.2f} {rates.currency}" if money >= 0.005 else f"{money:.2g} {rates.currency}"] if money is not None else []
    return ", ".join(parts)


def _row(account: Account, base: str, places: list[str]) -> Row:
    held = {place: account.evidence.artifacts[place] for place in places if place in account.evidence.artifacts}
    missing = len(places) - len(held)
    reused = [place for place in held if place in account.reused]
    why = _why(account, base, places)
    shown = "; ".join(why[:MOST_CAUSES]) + (f"; and {len(why) - MOST_CAUSES} more" if len(why) > MOST_CAUSES else "")
    if not held:
        return Row((base, "unfinished", shown, "", "", "", "", ""), "bad", f"stage-{base}")
    # A stage that was to run is reused all the same when another run made it meanwhile.
    reason = shown or ("unchanged" if len(reused) == len(held) else "")
    cost = total_cost(held.values())
    cells = (seconds(cost.wall_seconds), seconds(cost.cpu_seconds), *_whereabouts(list(held.values())))
    tone = "bad" if missing else "quiet" if len(reused) == len(held) else ""
    name = base if len(places) == 1 else f"{base} × {len(places)}"
    return Row((name, _state(len(places), len(reused), missing), reason, *cells), tone, f"stage-{base}")


def _state(count: int, reused: int, missing: int) -> str:
    ran = count - reused - missing
    if count == 1:
        return "reused" if reused else "ran"
    words = ((reused, "reused"), (ran, "ran"), (missing, "unfinished"))
    return ", ".join(f"{number} {word}" for number, word in words if number)


def _why(account: Account, base: str, places: list[str]) -> list[str]:
    """The causes, each with the shards that it moved unless it moved them all."""
    moved: dict[str, list[str]] = {}
    for place in places:
        for cause in account.causes.get(place, ()):
            moved.setdefault(cause, []).append(place.removeprefix(base).strip("[]"))
    return [cause if len(shards) == len(places) else f"shard {joined(shards)}: {cause}" for cause, shards in moved.items()]


def _whereabouts(artifacts: Iterable[Artifact]) -> tuple[str, str, str]:
    first, *others = artifacts
    if others:
        return "", f"{first.location.rpartition('-')[0].rpartition('-')[0]}-*", ""
    return first.digest[:SHORT], first.location, first.origin.mlflow_run_id
