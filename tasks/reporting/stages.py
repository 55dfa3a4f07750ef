"""The stages of a run: which were reused and which ran and why, what each cost, where each result lies; and their lineage."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.reporting.account import Account
from tasks.reporting.lineage_drawing import SHORT, draw_lineage
from tasks.reporting.parts import Row, Section, Table
from tasks.reporting.wording import plural, seconds
from tasks.stage.artifact import Artifact, Cost
from tasks.stage.cost import total_cost

HEADER = ("stage", "state", "why", "wall", "CPU", "digest", "location", "MLflow run")
MOST_CAUSES = 4


def lineage_section(account: Account) -> Section | None:
    """The drawing of what was made from what."""
    artifacts = account.evidence.artifacts
    if not artifacts:
        return None
    lead = "From left to right: each result and all that was made from it. Pale ones were reused. A box leads to its row below."
    return Section("lineage", "Lineage", lead, drawing=draw_lineage(artifacts, account.reused))


def stages_section(account: Account) -> Section | None:
    """A row for every stage, also for one that was begun and did not finish."""
    artifacts = account.evidence.artifacts
    if not account.causes and not artifacts:
        return None
    rows = [_row(account, place, artifacts.get(place)) for place in dict.fromkeys([*account.causes, *artifacts])]
    whole = cost_of(artifacts.values())
    new = cost_of(artifact for place, artifact in artifacts.items() if place not in account.reused)
    lead = f"All that this model is made of took {_spent(whole)}. "
    ran = len(artifacts) - len(account.reused)
    lead += f"This run reused {plural(len(account.reused), 'stage')} and ran {f'{ran}, for {_spent(new)}' if ran else 'none'}."
    table = Table("", HEADER, tuple(rows), frozenset({3, 4}), frozenset({0, 5, 6, 7}))
    return Section("stages", "Stages and cost", lead, tables=(table,))


def cost_of(artifacts: Iterable[Artifact]) -> Cost:
    """What artifacts cost together, an execution that stands at two places counted once."""
    return total_cost(artifacts)


def _spent(cost: Cost) -> str:
    devices = f" and {seconds(cost.gpu_seconds)} of GPU" if cost.gpu_seconds else ""
    return f"{seconds(cost.wall_seconds)} of work, {seconds(cost.cpu_seconds)} of CPU{devices}"


def _row(account: Account, place: str, artifact: Artifact | None) -> Row:
    why = list(account.causes.get(place, ()))
    shown = "; ".join(why[:MOST_CAUSES]) + (f"; and {len(why) - MOST_CAUSES} more" if len(why) > MOST_CAUSES else "")
    if artifact is None:
        return Row((place, "unfinished", shown, "", "", "", "", ""), "bad", f"stage-{place}")
    reused = place in account.reused
    # A stage that was to run is reused all the same when another run made it meanwhile.
    reason = shown or ("unchanged" if reused else "")
    cells = (seconds(artifact.cost.wall_seconds), seconds(artifact.cost.cpu_seconds), artifact.digest[:SHORT], artifact.location)
    return Row(
        (place, "reused" if reused else "ran", reason, *cells, artifact.origin.mlflow_run_id), "quiet" if reused else "", f"stage-{place}"
    )
