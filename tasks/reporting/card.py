"""The whole model card of a release: what its export wrote, and what the store has learned since.

What became of a release, from the records of its store: evaluations, gates, what people decided, and costs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from model.release.card import FACTS, Account, CostFact, EvaluationFact, GateFact, whole_card
from tasks.reporting.page_cache import kept_text
from tasks.stage.execution.run import PipelineRun
from tasks.stage.store.artifact import Artifact, without_shard
from tasks.stage.store.journal import Journal, RunRecord
from tasks.stage.store.store import Store
from tasks.stage.store.verdicts import find_approval
from tasks.stage.system.atomic_files import write_atomically
from tasks.stage.system.progress import log
from tasks.stage.tracking.cost import Rates, total_cost

EXPORT, RELEASED = "export", "evaluate.release"
CELLS = ("metric", "value", "bound", "margin", "verdict")


def releasing_run(store: Store, exported: Artifact) -> RunRecord | None:
    """Return the newest run that released an export, or else the newest that used it; None if there is none."""
    having = [run for run in Journal(store).records() if EXPORT in run.positions and run.positions[EXPORT].location == exported.location]
    return next((run for run in having if any(model.location == exported.location for model in run.registered)), next(iter(having), None))


def account_of(store: Store, run: RunRecord) -> Account:
    """Return what a store knows of the release that a run made."""
    made = {position: found for position, at in run.positions.items() if isinstance(found := store.index.read(at.location), Artifact)}
    rates = Rates.model_validate(run.configuration.get("rates", {}))
    costs, gates = tuple(_costs(made, rates)), tuple(_gates(store, made))
    measured = [position for position, artifact in made.items() if artifact.stage == "evaluate"]
    return Account(
        evaluations=tuple(
            EvaluationFact(name=position.partition(".")[2] or position, metrics=made[position].metrics)
            for position in sorted(measured, key=lambda position: position != RELEASED)
        ),
        baselines=next((artifact.metrics for artifact in made.values() if artifact.stage == "baseline"), {}),
        gates=gates,
        decisions=tuple(_decisions(store, run, made, gates)),
        costs=costs,
        currency=rates.currency if any(cost.money is not None for cost in costs) else "",
    )


def _gates(store: Store, made: Mapping[str, Artifact]) -> Iterator[GateFact]:
    for position, artifact in made.items():
        if artifact.stage == "gate":
            verdict = json.loads(store.read(artifact, "verdict.json"))
            failed = any(row["verdict"] != "passed" for row in verdict["rows"])
            answer = find_approval(store, artifact)
            yield GateFact(
                name=position,
                rows=tuple(tuple(str(row[cell]) for cell in CELLS) for row in verdict["rows"]),
                overruled=(verdict["overruled"] or "") if failed else "",
                answer=answer.words if answer else "",
            )


def _decisions(store: Store, run: RunRecord, made: Mapping[str, Artifact], gates: Sequence[GateFact]) -> Iterator[tuple[str, str]]:
    """Yield what people decided: answers about gates, gates overruled, changes accepted as altering nothing; then the model's standing."""
    for gate in gates:
        if gate.answer:
            yield gate.name, gate.answer
        if gate.overruled:
            yield gate.name, f"overruled: {gate.overruled}"
    for position, at in run.positions.items():
        if at.accepted:
            yield position, f"a change was accepted as altering nothing: {at.accepted}"
        if position.startswith("measure.") and position in made and (reason := _overruled_form(store, made[position])):
            yield position, f"released although it is outside its bounds: {reason}"
    for model in run.registered:
        yield model.name, f"{model.alias or 'registered'}, {model.reason}"


def _overruled_form(store: Store, measured: Artifact) -> str:
    verdict = json.loads(store.read(measured, "verdict.json"))
    return "" if verdict["passed"] else str(verdict["overruled"] or "")


def _costs(made: Mapping[str, Artifact], rates: Rates) -> Iterator[CostFact]:
    """Yield the cost of each stage, its positions and shards together, then of all."""
    stages: dict[str, list[Artifact]] = {}
    for position, artifact in made.items():
        stages.setdefault(without_shard(position).partition(".")[0], []).append(artifact)
    for name, artifacts in [*stages.items(), ("all", list(made.values()))]:
        cost = total_cost(artifacts)
        yield CostFact(name=name, **cost.model_dump(), money=rates.price(cost))


class CardError(LookupError):
    """A release that has no whole card."""


def card_of(store: Store, exported: Artifact, run: RunRecord | None = None) -> str:
    """Return the whole card of an export. Raise CardError if no run has it or it keeps no facts, StoreError if they are damaged.

    run: whose evaluations and gates it tells; by default the newest that released it.
    """
    run = run or releasing_run(store, exported)
    if run is None:
        raise CardError(f"{store.url} records no run of {exported.name}, so only its own README.md is there")
    return _rendered(store, exported, run)


def write_card(run: PipelineRun) -> Path | None:
    """Write the card of the release that the current run made, and return its path; None if it made none."""
    exported = run.artifacts.get(EXPORT)
    if exported is None:
        return None
    record = run.record.model_copy(update={"positions": dict(run.positions), "registered": run.registered})
    path = run.home / "reports" / f"{run.name}.card.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_atomically(path, _rendered(run.store, exported, record).encode())
    except CardError as error:
        log(f"the whole card was not written: {error}")
        return None
    return path


def _rendered(store: Store, exported: Artifact, run: RunRecord) -> str:
    if not (store.local(exported) / FACTS).is_file():
        raise CardError(f"{exported.name} has no {FACTS}: it was exported before cards could be written again; export it anew")
    release, account = store.verified(exported, FACTS).parent, account_of(store, run)
    return kept_text("card", [exported.digest, account.model_dump(mode="json")], lambda: whole_card(release, account))
