"""Register: give the released model a version in MLflow's registry and, if it is better than the one before, the alias `champion`.

No stage, since it makes no artifact. The run only records what is to be registered; MLflow is told with the run's end, and a digest that
has a version keeps it. The alias moves to a model whose gate passed and that predicts the same held-out rows better than the champion
does, beyond noise; or that a person promotes, with a reason. The journal says which model is champion, so no server is asked.
"""

from __future__ import annotations

from typing import NamedTuple

from tasks.gate import read_verdict
from tasks.stage.execution.run import current_run
from tasks.stage.store.artifact import Artifact, StageOutput
from tasks.stage.store.journal import Journal, RegisteredModel
from tasks.stage.store.store import Store
from tasks.stage.system.progress import log

CHAMPION = "champion"
EVALUATED = "evaluate.release"  # where in the flow a released model is measured


class Standing(NamedTuple):
    """The alias that a model gets, or "", and why."""

    alias: str
    reason: str


def register(name: str, exported: StageOutput, verdict: StageOutput, measured: StageOutput, split: str, promote: str | None) -> None:
    """Record that an exported model is to be registered under `name`, unless planning.

    measured: its evaluation, compared with the champion's on `split`; promote: why it becomes champion regardless of that.
    """
    run = current_run()
    if isinstance(exported, Artifact) and isinstance(verdict, Artifact) and isinstance(measured, Artifact):
        passed = read_verdict(verdict).passed
        alias, reason = (
            standing(run.store, name, exported, measured, split, promote) if passed else Standing("", "since its gate was overruled")
        )
        log(f"{name}: {'champion' if alias else 'not champion'}, {reason}")
        model = RegisteredModel(name=name, alias=alias, reason=reason, location=exported.location, digest=exported.digest)
        run.registered = (*run.registered, model)


def standing(store: Store, name: str, exported: Artifact, measured: Artifact, split: str, promote: str | None) -> Standing:
    """Return whether a model whose gate passed becomes or stays the champion of `name`, and why."""
    for record in Journal(store).newest():
        champion = next((model for model in record.registered if model.name == name and model.alias == CHAMPION), None)
        if champion is None:
            continue
        if champion.digest == exported.digest:
            return Standing(CHAMPION, "as it was")
        if promote:
            return Standing(CHAMPION, f"promoted by a person: {promote}")
        at = record.positions.get(EVALUATED)
        before = store.index.read(at.location) if at else None
        if not isinstance(before, Artifact):
            return Standing(
                "", f"since what was measured of the champion, of run {record.id}, is not in the store; release.promote decides"
            )
        from model.evaluation.contest import contest

        found = contest(store.local(measured), store.local(before), split)
        return Standing(CHAMPION if found.better else "", f"beside the champion of run {record.id} {found.words}")
    return Standing(CHAMPION, "the first whose gate passed")
