"""Decide for each stage whether it is reused or run, and exactly why; `folio plan` and a run act on the same decision.

`decide` reads the store and changes nothing. A plan says `run` only of what is certain to run; where that depends on bytes not made yet,
it says `may run`. The causes compare the ingredients of the key with those that the last run of the recipe had at the same position, or
else with the newest record made there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal

from tasks.stage.identity.code.reach import PERHAPS
from tasks.stage.identity.key import compute_key
from tasks.stage.store.acceptance import acceptances, acceptances_of
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.journal import PositionRecord
from tasks.stage.store.store import Damaged, Store

Action = Literal["reuse", "run", "wait"]
NEVER, REFRESH = "it has never run", "a refresh was requested"
WORDS = {"reuse": "reuse", "run": "run", "wait": "may run"}


@dataclass(frozen=True)
class Decision:
    """What to do about one stage, or one shard of it. `reason`: why another key's artifact is accepted, in the words of who did."""

    position: str
    stage: str
    action: Action
    causes: tuple[str, ...]
    key: str = ""
    artifact: Artifact | None = None
    damaged: Damaged | None = None
    last: Artifact | None = None
    refresh: bool = False
    reason: str = ""
    ingredients: Mapping[str, str] = field(default_factory=dict)

    def row(self) -> dict[str, object]:
        """Return the decision as plain data, for `folio plan --json`."""
        cost = self.artifact or self.last
        return {
            "stage": self.position,
            "action": self.action,
            "causes": list(self.causes),
            "accepted": self.reason,
            "key": self.key,
            "artifact": self.artifact.location if self.artifact else "",
            "last": None if cost is None else cost.cost.model_dump(),
        }


def position_names(position: str) -> tuple[str, ...]:
    """Return the names that select a position: of the shard, of the whole stage there, of the stage at every position."""
    whole = position.partition("[")[0]
    return position, whole, whole.partition(".")[0]


def decide(
    store: Store,
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
        known = (*requested, *(compare(last.ingredients, ingredients, unknown) if last else _causes_without_record(before)))
        made = (record.ingredients for record in store.records(stage))
        accepted_as = (acceptance.ingredients for acceptance in acceptances(store) if acceptance.stage == stage)
        # It runs for certain if no candidate matches, whatever the missing inputs turn out to be.
        certain = refresh or all(compare(other, ingredients, unknown) for other in chain(made, accepted_as))
        waiting = f"waits on {', '.join(dict.fromkeys(waits_on.values()))}"
        action: Action = "run" if certain else "wait"
        return Decision(position, stage, action, (*known, waiting), last=last, refresh=refresh, ingredients=ingredients)
    key = compute_key(stage, ingredients)
    found, reason, lines = find_reusable(store, stage, key, verify=verify, label=label)
    if isinstance(found, Artifact) and not refresh:
        return Decision(position, stage, "reuse", lines, key, artifact=found, reason=reason, ingredients=ingredients)
    last = _last_record(store, stage, label, before)
    if isinstance(found, Damaged):
        causes = tuple(f"{found.location}: {problem}" for problem in found.problems)
        return Decision(position, stage, "run", causes, key, damaged=found, last=last, ingredients=ingredients)
    if refresh:
        return Decision(position, stage, "run", requested, key, last=last, refresh=True, ingredients=ingredients)
    return Decision(position, stage, "run", _causes(key, last, before, ingredients), key, last=last, ingredients=ingredients)


def find_reusable(
    store: Store, stage: str, key: str, *, verify: bool, label: str
) -> tuple[Artifact | Damaged | None, str, tuple[str, ...]]:
    """Return the artifact of a key, or the one accepted in its place, with the reason and the lines that a plan shows."""
    found = store.find(stage, key, digests=verify, label=label)
    if found is not None:
        return found, "", ()
    for acceptance in acceptances_of(store, stage, key):
        instead = store.find(stage, acceptance.instead, digests=verify)
        if isinstance(instead, Artifact):
            return instead, acceptance.reason, (f"accepted by {acceptance.who}: {acceptance.reason}", *acceptance.causes)
    return None, "", ()


def _last_record(store: Store, stage: str, label: str, before: PositionRecord | None) -> Artifact | None:
    """Return the record to compare with."""
    found = store.find(stage, before.address, label=label) if before else None
    return found if isinstance(found, Artifact) else store.latest(stage, label)


def _causes(key: str, last: Artifact | None, before: PositionRecord | None, ingredients: Mapping[str, str]) -> tuple[str, ...]:
    if before is not None and before.key == key:
        return (f"its artifact {before.location} is gone",)
    return (compare(last.ingredients, ingredients) or ("its last artifact is gone",)) if last else _causes_without_record(before)


def _causes_without_record(before: PositionRecord | None) -> tuple[str, ...]:
    """Return the causes of a run that has no record to compare with."""
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
    if kind == "code":
        where, _, definition = rest.partition(":")
        change = "is newly reached" if old is None else "is no longer reached" if new is None else "changed"
        doubt = (new or old or "").partition(PERHAPS)[2]
        return f"code {where}{' ' + definition if definition else ''} {change}{f' (perhaps not reached: {doubt})' if doubt else ''}"
    if kind == "input":
        return f"input {rest}: {(old or 'none')[:8]} -> {(new or 'none')[:8]}"
    if kind == "observed":
        change = "was added" if old is None else "is gone" if new is None else "changed"
        return f"{rest if rest.startswith('document ') else f'file {rest}'} {change}"
    return f"{'library ' if kind == 'library' else ''}{rest or kind}: {old or 'unset'} -> {new or 'unset'}"
