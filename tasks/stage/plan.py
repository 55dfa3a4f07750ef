"""What would happen to a stage, and exactly why: the one decision that both `folio plan` and a run go by.

Guarantees: `decide` reads the store and changes nothing; a run acts on its answer, a plan prints it, so they cannot disagree.
A plan says `run` only of what is certain to run; where that depends on bytes not made yet, it says `may run`.
The causes compare the ingredients of the key with those of the newest record at the same place in the same recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tasks.stage.artifact import Artifact
from tasks.stage.identity import key_of
from tasks.stage.reach import PERHAPS
from tasks.stage.store import Damaged, Store

Action = Literal["reuse", "run", "wait"]
NEVER, REFRESH = "it has never run", "a refresh was asked for"
WORDS = {"reuse": "reuse", "run": "run", "wait": "may run"}


@dataclass(frozen=True)
class Decision:
    """What to do about one stage."""

    place: str
    stage: str
    action: Action
    causes: tuple[str, ...]
    key: str = ""
    artifact: Artifact | None = None
    damaged: Damaged | None = None
    last: Artifact | None = None
    refresh: bool = False

    def row(self) -> dict[str, object]:
        """The decision as plain data, for `folio plan --json`."""
        cost = self.artifact or self.last
        return {
            "stage": self.place,
            "action": self.action,
            "causes": list(self.causes),
            "key": self.key,
            "last_wall_seconds": None if cost is None else cost.cost.wall_seconds,
        }


def decide(
    store: Store,
    *,
    place: str,
    stage: str,
    label: str,
    ingredients: Mapping[str, str],
    waits_on: Mapping[str, str],
    refresh: bool,
    verify: bool,
) -> Decision:
    """Reuse, run, or wait for an input (`waits_on`: input name -> place that has not run yet)."""
    last = store.latest(stage, label)
    asked = (REFRESH,) if refresh else ()
    if waits_on:
        unknown = tuple(f"input.{name}" for name in waits_on)
        known = (*asked, *(compare(last, ingredients, unknown) if last else (NEVER,)))
        certain = refresh or all(compare(record, ingredients, unknown) for record in store.records(stage))
        waiting = f"waits on {', '.join(dict.fromkeys(waits_on.values()))}"
        return Decision(place, stage, "run" if certain else "wait", (*known, waiting), last=last, refresh=refresh)
    key = key_of(stage, ingredients)
    found = store.find(stage, key, digests=verify)
    if isinstance(found, Damaged):
        causes = tuple(f"{found.location}: {problem}" for problem in found.problems)
        return Decision(place, stage, "run", causes, key, damaged=found, last=last)
    if refresh:
        return Decision(place, stage, "run", asked, key, last=last, refresh=True)
    if found is not None:
        return Decision(place, stage, "reuse", (), key, artifact=found, last=last)
    if last is None:
        return Decision(place, stage, "run", (NEVER,), key)
    return Decision(place, stage, "run", compare(last, ingredients) or ("its last artifact is gone",), key, last=last)


def compare(last: Artifact, ingredients: Mapping[str, str], ignore: tuple[str, ...] = ()) -> tuple[str, ...]:
    """What differs between a record's ingredients and these, each in words a person can act on."""
    causes = []
    for name in sorted({*last.ingredients, *ingredients}):
        old, new = last.ingredients.get(name), ingredients.get(name)
        if old != new and name not in ignore:
            causes.append(_words(name, old, new))
    return tuple(causes)


def _words(name: str, old: str | None, new: str | None) -> str:
    kind, _, rest = name.partition(".")
    if kind == "code":
        where, _, definition = rest.partition(":")
        change = "is new to it" if old is None else "is no longer reached" if new is None else "changed"
        doubt = (new or old or "").partition(PERHAPS)[2]
        return f"code {where}{' ' + definition if definition else ''} {change}{f' (perhaps not reached: {doubt})' if doubt else ''}"
    if kind == "input":
        return f"input {rest}: {(old or 'none')[:8]} -> {(new or 'none')[:8]}"
    if kind == "observed":
        change = "was added" if old is None else "is gone" if new is None else "changed"
        return f"file {rest} {change}"
    return f"{'library ' if kind == 'library' else ''}{rest}: {old or 'unset'} -> {new or 'unset'}"
