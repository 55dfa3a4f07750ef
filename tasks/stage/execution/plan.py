"""Decide for each stage whether it is reused or run, and exactly why; `folio plan` and a run act on the same decision.

A key finds candidates, the artifacts that the same call has made before. The newest one whose trace holds on the run's source is reused.
`decide` reads the store and changes nothing. A plan says `run` only if that is certain; where it depends on bytes not made yet,
it says `may run`. The causes compare the ingredients of the key, and all that the execution read, with those that the last run of the
recipe had at the same position, or else with the newest record made there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel

from tasks.stage.execution.trace_check import TraceChecker
from tasks.stage.identity.key import compute_key
from tasks.stage.identity.tracing.trace import Change
from tasks.stage.store.artifact import Artifact, StageInput, without_shard
from tasks.stage.store.index import OtherFormat
from tasks.stage.store.journal import PositionRecord
from tasks.stage.store.old_artifacts import OldArtifact, find_old
from tasks.stage.store.run_record import NEVER
from tasks.stage.store.store import Damaged, Store
from tasks.stage.store.verdicts import acceptances, acceptances_of

Action = Literal["reuse", "run", "wait"]
REFRESH = "a refresh was requested"
WORDS = {"reuse": "reuse", "run": "run", "wait": "may run"}


@dataclass(frozen=True)
class Decision:
    """The decision on one stage, or one shard of it.

    `last`: the record that is compared with; `changes`: what differs of what its execution read, `today`: the hash of its trace now.
    `reason`: why another trace's artifact is accepted, in the words of who did. `config`, `inputs`: what the stage is called with. `old`:
    what another version of folio made here, so that what it ran can't be compared.
    """

    position: str
    stage: str
    action: Action
    causes: tuple[str, ...]
    key: str = ""
    artifact: Artifact | None = None
    damaged: Damaged | None = None
    last: Artifact | None = None
    changes: tuple[Change, ...] = ()
    today: str = ""
    refresh: bool = False
    reason: str = ""
    ingredients: Mapping[str, str] = field(default_factory=dict)
    config: BaseModel | None = None
    inputs: Mapping[str, StageInput] = field(default_factory=dict)
    old: OldArtifact | None = None

    @property
    def acceptable(self) -> Artifact | None:
        """The artifact that an acceptance of `changes` alone would reuse; None if something else has changed, or it can't be reused."""
        same = self.last is not None and self.last.key == self.key
        return self.last if self.action == "run" and same and self.changes and not self.damaged and not self.refresh else None

    def row(self) -> dict[str, object]:
        """Return the decision as plain data, for `folio plan --json`."""
        cost = self.artifact or self.last
        return {
            "stage": self.position,
            "action": self.action,
            "causes": list(self.causes),
            "accepted": self.reason,
            "acceptable": self.acceptable.location if self.acceptable else "",
            "made_by_another_folio": self.old.age if self.old else "",
            "key": self.key,
            "address": self.artifact.address if self.artifact else "",
            "artifact": self.artifact.location if self.artifact else "",
            "last": None if cost is None else cost.cost.model_dump(),
        }


def position_names(position: str) -> tuple[str, ...]:
    """Return the names that select a position: of the shard, of the whole stage there, of the stage at every position."""
    whole = without_shard(position)
    return position, whole, whole.partition(".")[0]


def decide(
    store: Store,
    traces: TraceChecker,
    *,
    position: str,
    stage: str,
    label: str,
    ingredients: Mapping[str, str],
    waits_on: Mapping[str, str],
    refresh: bool,
    verify: bool,
    before: PositionRecord | None = None,
) -> Decision:
    """Decide whether to reuse, run, or wait for an input.

    `waits_on`: input name -> position that has not run yet; `before`: what the last run had here.
    """
    requested = (REFRESH,) if refresh else ()
    if waits_on:
        last = _last_record(store, stage, label, before)
        unknown = tuple(f"input.{name}" for name in waits_on)
        old = find_old(store, last, before)
        known = (*requested, *(_differences(traces, last, old, ingredients, unknown) if last else _causes_without_record(before, old)))
        # If no candidate matches, it runs regardless of what the missing inputs turn out to be.
        certain = refresh or not _may_be_reused(store, traces, stage, ingredients, unknown)
        waiting = f"waits on {', '.join(dict.fromkeys(waits_on.values()))}"
        action: Action = "run" if certain else "wait"
        return Decision(position, stage, action, (*known, waiting), last=last, refresh=refresh, ingredients=ingredients, old=old)
    key = compute_key(stage, ingredients)
    found, reason, lines = find_reusable(store, traces, stage, key, verify=verify)
    if isinstance(found, Artifact) and not refresh:
        return Decision(position, stage, "reuse", lines, key, artifact=found, reason=reason, ingredients=ingredients)
    last = _last_record(store, stage, label, before)
    if isinstance(found, Damaged):
        causes = tuple(f"{found.location}: {problem}" for problem in found.problems)
        return Decision(position, stage, "run", causes, key, damaged=found, last=last, ingredients=ingredients)
    if refresh:
        return Decision(position, stage, "run", requested, key, last=last, refresh=True, ingredients=ingredients)
    today = traces.today(last) if last else None
    old = find_old(store, last, before, store.candidates(stage, key))
    return Decision(
        position,
        stage,
        "run",
        _causes(traces, key, last, before, old, ingredients),
        key,
        last=last,
        changes=traces.changes(last) if last else (),
        today=today.hash if today else "",
        ingredients=ingredients,
        old=old,
    )


def find_reusable(
    store: Store, traces: TraceChecker, stage: str, key: str, *, verify: bool
) -> tuple[Artifact | Damaged | None, str, tuple[str, ...]]:
    """Return the artifact to reuse for a key, with the reason if it was accepted and the lines that a plan shows.

    It is the newest intact one whose trace holds, or else one that was accepted; `Damaged` if there is only one that is not intact.
    """
    damaged: Damaged | None = None
    for record in store.candidates(stage, key):
        if isinstance(record, OtherFormat):
            continue  # it is no damage, and stays where it is for the folio that can read it
        if isinstance(record, Damaged):
            damaged = damaged or record
        elif traces.holds(record):
            if not (problems := store.check(record, digests=verify)):
                return record, "", ()
            damaged = damaged or Damaged(record.location, problems)
    for acceptance in acceptances_of(store, stage, key):
        instead = store.find(stage, acceptance.instead, digests=verify)
        today = traces.today(instead) if isinstance(instead, Artifact) else None
        if isinstance(instead, Artifact) and today is not None and today.hash == acceptance.trace:
            return instead, acceptance.reason, (f"accepted by {acceptance.who}: {acceptance.reason}", *acceptance.causes)
    return damaged, "", ()


def _may_be_reused(store: Store, traces: TraceChecker, stage: str, ingredients: Mapping[str, str], unknown: tuple[str, ...]) -> bool:
    """Return whether there is a candidate that some value of the unknown ingredients would find."""
    for record in store.records(stage):
        if not compare(record.ingredients, ingredients, unknown) and traces.holds(record):
            return True
    return any(one.stage == stage and not compare(one.ingredients, ingredients, unknown) for one in acceptances(store))


def _last_record(store: Store, stage: str, label: str, before: PositionRecord | None) -> Artifact | None:
    """Return the record to compare with."""
    found = store.find(stage, before.address, label=label) if before else None
    return found if isinstance(found, Artifact) else store.latest(stage, label)


def _causes(
    traces: TraceChecker,
    key: str,
    last: Artifact | None,
    before: PositionRecord | None,
    old: OldArtifact | None,
    ingredients: Mapping[str, str],
) -> tuple[str, ...]:
    if before is not None and before.key == key and (last is None or last.address != before.address) and old is None:
        return (f"its artifact {before.location} is gone",)
    return _differences(traces, last, old, ingredients) or ("its last artifact is gone",) if last else _causes_without_record(before, old)


def _differences(
    traces: TraceChecker, last: Artifact, old: OldArtifact | None, ingredients: Mapping[str, str], ignore: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Describe how a call differs from the execution that made a record: in what went in, and in what it read."""
    if old is not None:
        return (*(compare(last.ingredients, ingredients, ignore) if old.location == last.location else ()), old.cause)
    if traces.today(last) is None or traces.recorded(last) is None:
        return (*compare(last.ingredients, ingredients, ignore), f"what {last.location} has read is missing or damaged in the store")
    return (*compare(last.ingredients, ingredients, ignore), *map(str, traces.changes(last)))


def _causes_without_record(before: PositionRecord | None, old: OldArtifact | None = None) -> tuple[str, ...]:
    """Return the causes of a run that has no record to compare with."""
    if old is not None:
        return (old.cause,)
    return (f"its artifact {before.location} is gone, and so is the record of its inputs",) if before else (NEVER,)


def compare(before: Mapping[str, str], ingredients: Mapping[str, str], ignore: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Describe each difference between two keys' ingredients."""
    causes = []
    for name in sorted({*before, *ingredients}):
        old, new = before.get(name), ingredients.get(name)
        if old != new and name not in ignore:
            causes.append(_describe(name, old, new))
    return tuple(causes)


def _describe(name: str, old: str | None, new: str | None) -> str:
    kind, _, rest = name.partition(".")
    if kind == "input":
        return f"input {rest}: {(old or 'none')[:8]} -> {(new or 'none')[:8]}"
    if kind == "observed":
        change = "was added" if old is None else "is gone" if new is None else "changed"
        return f"{rest if rest.startswith('document ') else f'file {rest}'} {change}"
    return f"{rest or kind}: {setting(old)} -> {setting(new)}"


def setting(value: object) -> str:
    """Return the value of a setting in words: not set, empty, or as it stands in a recipe."""
    if value is None:
        return "not set"
    return "empty" if value in ("", "{}", "[]", {}, [], ()) else str(value)
