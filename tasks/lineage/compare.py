"""Two runs side by side: how their configuration, code, libraries and data differ, and what that did to metrics, gates and cost.

Reads only the journal, the records, and the documents of shards that differ. Missing artifacts are reported, not left out."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from data.documents.sharding import DOCUMENTS
from data.provenance.tables import IngestedDocument, documents, text_digests
from model.evaluation.intervals import paired_difference, units_in
from model.evaluation.plain_words import CONFIDENCE, Shift, shift_of
from model.evaluation.relations import UNITS, Unpaired
from tasks.lineage.graph import StoreSnapshot
from tasks.stage.identity.key import flatten
from tasks.stage.identity.tracing.trace import Change, Trace
from tasks.stage.identity.tracing.trace import differences as differences_trace
from tasks.stage.store.artifact import Artifact, without_shard
from tasks.stage.store.journal import RunRecord
from tasks.stage.store.store import Store
from tasks.stage.store.traces import read_trace
from tasks.stage.tracking.cost import Rates, total_cost


@dataclass(frozen=True)
class CodeChanges:
    """Changes with the positions they affect. `unknown`: positions where a trace is missing, or was not recorded at that time."""

    code: Mapping[Change, tuple[str, ...]]
    libraries: Mapping[Change, tuple[str, ...]]
    unknown: tuple[str, ...]


def code_changes(store: Store, first: Mapping[str, Artifact], second: Mapping[str, Artifact]) -> CodeChanges:
    """Compare what the executions that made two runs' artifacts have read, at the positions that both have."""
    affected: dict[Change, dict[str, None]] = {}
    unknown: dict[str, None] = {}
    known: dict[str, Trace | None] = {}

    def trace(artifact: Artifact) -> Trace | None:
        if artifact.trace not in known:
            content = read_trace(store, artifact.trace) if artifact.trace else None
            known[artifact.trace] = None if content is None else Trace.read(content)
        return known[artifact.trace]

    for position in (position for position in first if position in second):
        if first[position].address == second[position].address:
            continue
        before, after = trace(first[position]), trace(second[position])
        if before is None or after is None:
            unknown[without_shard(position)] = None
        elif before != after:
            for change in differences_trace(before, after):
                affected.setdefault(change, {})[without_shard(position)] = None
    libraries = {change: tuple(at) for change, at in affected.items() if change.kind in ("library", "python")}
    return CodeChanges({change: tuple(at) for change, at in affected.items() if change not in libraries}, libraries, tuple(unknown))


Difference = tuple[str | None, str | None]
"""A value in the first run and in the second; None where there is none."""


@dataclass(frozen=True)
class RunSide:
    """One of the runs. `artifacts`: position -> artifact, for those whose records are still in the store."""

    run: RunRecord
    artifacts: Mapping[str, Artifact]

    @classmethod
    def of(cls, snapshot: StoreSnapshot, run: RunRecord) -> RunSide:
        """Look up the artifacts of a run."""
        known = snapshot.graph.by_address
        return cls(run, {position: known[recorded.address] for position, recorded in run.positions.items() if recorded.address in known})

    @property
    def missing(self) -> list[str]:
        """Positions whose artifact has no record in the store."""
        return [position for position in self.run.positions if position not in self.artifacts]

    @property
    def rates(self) -> Rates:
        """The prices of the run's recipe."""
        return Rates.model_validate(self.run.configuration.get("rates", {}))

    def observed(self) -> dict[str, str]:
        """Return name -> digest of the observed files outside the store."""
        names = ((name, value) for artifact in self.artifacts.values() for name, value in artifact.ingredients.items())
        return {name.removeprefix("observed."): value for name, value in names if name.startswith("observed.")}


@dataclass(frozen=True)
class DocumentChanges:
    """The difference between the documents that two runs read. `problem`: why that cannot be told, if it cannot."""

    added: tuple[IngestedDocument, ...] = ()
    removed: tuple[IngestedDocument, ...] = ()
    changed: tuple[IngestedDocument, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Comparison:
    """All that differs between two runs. `gates`: gate -> its verdict in both runs."""

    first: RunSide
    second: RunSide
    configuration: dict[str, Difference]
    read: CodeChanges
    files: dict[str, Difference]
    documents: DocumentChanges
    metrics: dict[str, tuple[float | None, float | None]]
    gates: dict[str, tuple[str, str]]

    @property
    def acceptances(self) -> list[tuple[str, str, str]]:
        """(run, position, reason) of artifacts that were accepted in place of new ones."""
        sides = (self.first, self.second)
        return [(side.run.id, at, recorded.accepted) for side in sides for at, recorded in side.run.positions.items() if recorded.accepted]

    @property
    def outputs(self) -> dict[str, Difference]:
        """Positions whose content differs, with both digests."""
        before, after = ({at: recorded.digest for at, recorded in side.run.positions.items()} for side in (self.first, self.second))
        return differences(before, after)


def shifts(store: Store, comparison: Comparison) -> dict[str, Shift]:
    """Return how the metrics with an interval in both runs differ, row by row where both were measured on the same rows.

    Reads the rows of positions whose metrics differ.
    """
    before, after = ({name: pair[side] for name, pair in comparison.metrics.items() if pair[side] is not None} for side in (0, 1))
    differing = [name for name, pair in comparison.metrics.items() if f"{name}_low" in comparison.metrics and str(pair[0]) != str(pair[1])]
    found = {name: shift for name in differing if (shift := shift_of(before, after, name)) is not None}  # type: ignore[arg-type]
    for position in comparison.first.artifacts:
        here = [name for name in found if name.startswith(f"{position}.")]
        sides = [side.artifacts[position] for side in (comparison.first, comparison.second) if position in side.artifacts]
        if here and len(sides) == 2 and all(any(file.path == UNITS for file in made.files) for made in sides):
            found |= _paired(store, position, here, sides[0], sides[1])
    return found


def _paired(store: Store, position: str, names: Iterable[str], first: Artifact, second: Artifact) -> dict[str, Shift]:
    ours, theirs = units_in(store.local(second) / UNITS), units_in(store.local(first) / UNITS)
    found = {}
    for name in names:
        metric = name.removeprefix(f"{position}.")
        if metric in ours and metric in theirs:
            try:
                estimate = paired_difference(ours[metric], theirs[metric], confidence=CONFIDENCE)
            except Unpaired:
                continue  # measured on other rows, so the intervals of both have to do
            found[name] = Shift(estimate.value, estimate.low, estimate.high, paired=True)
    return found


def compare(snapshot: StoreSnapshot, first: RunRecord, second: RunRecord) -> Comparison:
    """Compare two runs of a store."""
    one, two = RunSide.of(snapshot, first), RunSide.of(snapshot, second)
    return Comparison(
        first=one,
        second=two,
        configuration=_settings(first.configuration, second.configuration),
        read=code_changes(snapshot.store, one.artifacts, two.artifacts),
        files=differences(one.observed(), two.observed()),
        documents=_documents(snapshot, one, two),
        metrics=_metrics(one, two),
        gates=_gates(snapshot, one, two),
    )


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, Difference]:
    """Return the names whose values differ between two mappings, with both values."""
    names = sorted({*before, *after})
    return {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}


def _settings(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Difference]:
    """Return the settings that differ. Where one side has a group and the other has none of it, the group's members say so alone."""
    found = differences(_leaves(before), _leaves(after))
    return {name: values for name, values in found.items() if not (set(values) <= {None, "{}", "[]"} and _has_members(name, found))}


def _has_members(name: str, found: Mapping[str, Difference]) -> bool:
    return any(other.startswith((f"{name}.", f"{name}[")) for other in found if other != name)


def _leaves(configuration: Mapping[str, Any]) -> dict[str, str]:
    """Return dotted name -> JSON text; of a run without a configuration, nothing."""
    return {name.removeprefix("."): value for name, value in flatten(dict(configuration), "").items() if name}


def _documents(snapshot: StoreSnapshot, one: RunSide, two: RunSide) -> DocumentChanges:
    before, after = ({a.digest: a for a in side.artifacts.values() if snapshot.hook(a).reads_sources} for side in (one, two))
    try:
        old = _read(snapshot, (a for digest, a in before.items() if digest not in after))
        new = _read(snapshot, (a for digest, a in after.items() if digest not in before))
    except FileNotFoundError as error:
        return DocumentChanges(problem=f"which documents differ cannot be told: {error.filename or error} is gone")
    return DocumentChanges(
        added=tuple(sorted(new[i][0] for i in new.keys() - old.keys())),
        removed=tuple(sorted(old[i][0] for i in old.keys() - new.keys())),
        changed=tuple(sorted(new[i][0] for i in new.keys() & old.keys() if new[i] != old[i])),
    )


def _read(snapshot: StoreSnapshot, artifacts: Iterable[Artifact]) -> dict[str, tuple[IngestedDocument, str]]:
    """Id -> the document and the digest of its text."""
    found: dict[str, tuple[IngestedDocument, str]] = {}
    for artifact in artifacts:
        with snapshot.open(artifact, DOCUMENTS) as stream:
            known = {document.id: document for document in documents(stream)}
        with snapshot.open(artifact, DOCUMENTS) as stream:
            found |= {identity: (known[identity], digest) for identity, digest in text_digests(stream).items()}
    return found


def _metrics(one: RunSide, two: RunSide) -> dict[str, tuple[float | None, float | None]]:
    """`<position>.<metric>` of both runs, summed over shards."""

    def total(side: RunSide) -> dict[str, float]:
        found: dict[str, float] = {}
        for position, artifact in side.artifacts.items():
            for metric, value in artifact.metrics.items():
                name = f"{without_shard(position)}.{metric}"
                found[name] = found.get(name, 0.0) + value
        return found

    before, after = total(one), total(two)
    return {name: (before.get(name), after.get(name)) for name in dict.fromkeys([*before, *after])}


def _gates(snapshot: StoreSnapshot, one: RunSide, two: RunSide) -> dict[str, tuple[str, str]]:
    at_gates = dict.fromkeys(at for side in (one, two) for at, artifact in side.artifacts.items() if snapshot.hook(artifact).is_gate)
    return {at: (_verdict(one, at), _verdict(two, at)) for at in at_gates}


def _verdict(side: RunSide, position: str) -> str:
    """Passed, failed or overruled; "" if the run has no such gate."""
    artifact = side.artifacts.get(position)
    if artifact is None:
        return ""
    passed, overruled = artifact.metrics.get("passed") == 1.0, artifact.metrics.get("overruled") == 1.0
    return "passed" if passed else "overruled" if overruled else "failed"


def _finite(value: float | None) -> float | str | None:
    """A number as JSON can hold it: NaN and infinities become text such as "nan"."""
    return value if value is None or math.isfinite(value) else str(value)


def _value(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain data."""

    def side_json(side: RunSide) -> dict[str, Any]:
        run, cost = side.run, total_cost(side.artifacts.values())
        fields = {"id": run.id, "recipe": run.recipe, "status": run.status, "started": run.started, "git_commit": run.git_commit}
        positions = {at: {"action": p.action, "causes": list(p.causes), "digest": p.digest} for at, p in run.positions.items()}
        money = {"money": side.rates.price(cost), "currency": side.rates.currency}
        return fields | {"places": positions, "cost": cost.model_dump() | money, "gone": side.missing}

    def named(group: Iterable[IngestedDocument]) -> list[dict[str, str]]:
        return [{"id": document.id, "name": document.name, "title": document.title} for document in group]

    def pair(difference: tuple[Any, Any]) -> dict[str, Any]:
        return {"first": difference[0], "second": difference[1]}

    return {
        "first": side_json(comparison.first),
        "second": side_json(comparison.second),
        "configuration": {name: pair((_value(old), _value(new))) for name, (old, new) in comparison.configuration.items()},
        "code": [{**change.model_dump(), "stages": list(stages)} for change, stages in comparison.read.code.items()],
        "libraries": [{**change.model_dump(), "stages": list(stages)} for change, stages in comparison.read.libraries.items()],
        "code_unknown": list(comparison.read.unknown),
        "files": {name: pair(difference) for name, difference in comparison.files.items()},
        "documents": {
            "added": named(comparison.documents.added),
            "removed": named(comparison.documents.removed),
            "changed": named(comparison.documents.changed),
            "problem": comparison.documents.problem,
        },
        "acceptances": [{"run": run, "place": position, "reason": reason} for run, position, reason in comparison.acceptances],
        "outputs": {position: pair(difference) for position, difference in comparison.outputs.items()},
        "metrics": {name: pair((_finite(a), _finite(b))) for name, (a, b) in comparison.metrics.items()},
        "gates": {position: pair(verdicts) for position, verdicts in comparison.gates.items()},
    }
