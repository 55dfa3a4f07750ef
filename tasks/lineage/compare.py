"""Two runs side by side: what differed in configuration, code, libraries and data, and what came of it.

Guarantees: told from the journal and the records alone, so it works with MLflow gone; only the documents of shards that differ are read,
and where those files or a record are gone, it is said instead of left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from data.provenance.tables import Document, documents, text_digests
from tasks.lineage.records import base_of
from tasks.lineage.things import DOCUMENTS, Library
from tasks.stage.identity.key import flatten
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.journal import RunRecord
from tasks.stage.tracking.cost import Rates, total_cost

Change = tuple[str | None, str | None]
"""The value in the one run and in the other; None where there is none."""


@dataclass(frozen=True)
class Side:
    """One of the runs, with the artifacts whose records are still there, by place."""

    run: RunRecord
    held: Mapping[str, Artifact]

    @classmethod
    def of(cls, library: Library, run: RunRecord) -> Side:
        """A run of a store."""
        by_key = library.graph.by_key
        return cls(run, {place: by_key[made.key] for place, made in run.places.items() if made.key in by_key})

    @property
    def gone(self) -> list[str]:
        """Places whose artifact has no record any more."""
        return [place for place in self.run.places if place not in self.held]

    @property
    def rates(self) -> Rates:
        """The prices of the run's recipe."""
        return Rates.model_validate(self.run.configuration.get("rates", {}))

    def ingredients(self, kind: str) -> dict[str, dict[str, str]]:
        """Ingredient -> stage -> value, of one kind such as `code`; shards are one stage, with what any of them has."""
        found: dict[str, dict[str, str]] = {}
        for place, artifact in self.held.items():
            for name, value in artifact.ingredients.items():
                if name.startswith(f"{kind}."):
                    found.setdefault(name.removeprefix(f"{kind}."), {})[base_of(place)] = value
        return found


@dataclass(frozen=True)
class Books:
    """How the documents that were read differ; `problem` where the files that tell are gone."""

    added: tuple[Document, ...] = ()
    removed: tuple[Document, ...] = ()
    changed: tuple[Document, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Comparison:
    """All that differs between two runs."""

    first: Side
    second: Side
    configuration: dict[str, Change]
    code: dict[str, tuple[str, tuple[str, ...]]]
    libraries: dict[str, Change]
    files: dict[str, Change]
    books: Books
    metrics: dict[str, tuple[float | None, float | None]]

    @property
    def acceptances(self) -> list[tuple[str, str, str]]:
        """(run, place, reason) of what stood in for something that was not made."""
        return [(s.run.id, place, p.accepted) for s in (self.first, self.second) for place, p in s.run.places.items() if p.accepted]

    @property
    def outputs(self) -> dict[str, Change]:
        """Places whose content differs, with both digests."""
        before, after = ({place: p.digest for place, p in side.run.places.items()} for side in (self.first, self.second))
        return changes(before, after)


def compare(library: Library, first: RunRecord, second: RunRecord) -> Comparison:
    """What differs between two runs of a store."""
    one, two = Side.of(library, first), Side.of(library, second)
    return Comparison(
        first=one,
        second=two,
        configuration=changes(_leaves(first.configuration), _leaves(second.configuration)),
        code=_code(one, two),
        libraries=changes(*({name: next(iter(v.values())) for name, v in side.ingredients("library").items()} for side in (one, two))),
        files=changes(*({name: next(iter(v.values())) for name, v in side.ingredients("observed").items()} for side in (one, two))),
        books=_books(library, one, two),
        metrics=_metrics(one, two),
    )


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, Change]:
    """What two mappings differ in, by name."""
    names = sorted({*before, *after})
    return {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}


def _leaves(configuration: Mapping[str, Any]) -> dict[str, str]:
    return {name.removeprefix("."): value for name, value in flatten(dict(configuration), "").items()}


def _code(one: Side, two: Side) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Definition -> (changed, new or no longer reached; the stages that it moves)."""
    before, after = one.ingredients("code"), two.ingredients("code")
    shared = {base_of(place) for place in one.held} & {base_of(place) for place in two.held}
    found = {}
    for name in sorted({*before, *after}):
        old, new = before.get(name, {}), after.get(name, {})
        moved = tuple(stage for stage in sorted({*old, *new}) if stage in shared and old.get(stage) != new.get(stage))
        if moved:
            found[name] = ("changed" if old and new else "new" if new else "no longer reached", moved)
    return found


def _books(library: Library, one: Side, two: Side) -> Books:
    before, after = ({a.digest: a for a in side.held.values() if a.stage == "ingest"} for side in (one, two))
    try:
        old = _read(library, (a for digest, a in before.items() if digest not in after))
        new = _read(library, (a for digest, a in after.items() if digest not in before))
    except FileNotFoundError as error:
        return Books(problem=f"which documents differ can't be told any more: {error.filename or error} is gone")
    return Books(
        added=tuple(sorted(new[i][0] for i in new.keys() - old.keys())),
        removed=tuple(sorted(old[i][0] for i in old.keys() - new.keys())),
        changed=tuple(sorted(new[i][0] for i in new.keys() & old.keys() if new[i] != old[i])),
    )


def _read(library: Library, artifacts: Iterable[Artifact]) -> dict[str, tuple[Document, str]]:
    """Id -> document and digest of its text."""
    found: dict[str, tuple[Document, str]] = {}
    for artifact in artifacts:
        with library.open(artifact, DOCUMENTS) as stream:
            known = {document.id: document for document in documents(stream)}
        with library.open(artifact, DOCUMENTS) as stream:
            found |= {identity: (known[identity], digest) for identity, digest in text_digests(stream).items()}
    return found


def _metrics(one: Side, two: Side) -> dict[str, tuple[float | None, float | None]]:
    """`<stage>.<metric>` of both runs, shards counted together."""

    def total(side: Side) -> dict[str, float]:
        found: dict[str, float] = {}
        for place, artifact in side.held.items():
            for name, value in artifact.metrics.items():
                whole = f"{base_of(place)}.{name}"
                found[whole] = found.get(whole, 0.0) + value
        return found

    before, after = total(one), total(two)
    return {name: (before.get(name), after.get(name)) for name in dict.fromkeys([*before, *after])}


def verdict(side: Side, place: str) -> str:
    """What a gate said: passed, failed or overruled; "" when the run has no such gate."""
    artifact = side.held.get(place)
    if artifact is None:
        return ""
    passed, overruled = artifact.metrics.get("passed") == 1.0, artifact.metrics.get("overruled") == 1.0
    return "passed" if passed else "overruled" if overruled else "failed"


def gates(told: Comparison) -> dict[str, tuple[str, str]]:
    """Gate -> its verdict in the one run and in the other."""
    places = dict.fromkeys(place for side in (told.first, told.second) for place, a in side.held.items() if a.stage == "gate")
    return {place: (verdict(told.first, place), verdict(told.second, place)) for place in places}


def finite(value: float | None) -> float | str | None:
    """A number as JSON can hold it: what is none is its name, such as "nan"."""
    return value if value is None or math.isfinite(value) else str(value)


def _value(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def data(told: Comparison) -> dict[str, Any]:
    """A comparison for machines."""

    def side(of: Side) -> dict[str, Any]:
        run, whole = of.run, total_cost(of.held.values())
        named = {"id": run.id, "recipe": run.recipe, "status": run.status, "started": run.started, "git_commit": run.git_commit}
        made = {place: {"action": p.action, "causes": list(p.causes), "digest": p.digest} for place, p in run.places.items()}
        money = {"money": of.rates.price(whole), "currency": of.rates.currency}
        return named | {"places": made, "cost": whole.model_dump() | money, "gone": of.gone}

    def named(books: Iterable[Document]) -> list[dict[str, str]]:
        return [{"id": book.id, "name": book.name, "title": book.title} for book in books]

    def pair(change: tuple[Any, Any]) -> dict[str, Any]:
        return {"first": change[0], "second": change[1]}

    return {
        "first": side(told.first),
        "second": side(told.second),
        "configuration": {name: pair((_value(old), _value(new))) for name, (old, new) in told.configuration.items()},
        "code": {name: {"change": change, "stages": list(stages)} for name, (change, stages) in told.code.items()},
        "libraries": {name: pair(change) for name, change in told.libraries.items()},
        "files": {name: pair(change) for name, change in told.files.items()},
        "documents": {
            "added": named(told.books.added),
            "removed": named(told.books.removed),
            "changed": named(told.books.changed),
            "problem": told.books.problem,
        },
        "acceptances": [{"run": run, "place": place, "reason": reason} for run, place, reason in told.acceptances],
        "outputs": {place: pair(change) for place, change in told.outputs.items()},
        "metrics": {name: pair((finite(a), finite(b))) for name, (a, b) in told.metrics.items()},
        "gates": {place: pair(said) for place, said in gates(told).items()},
    }
