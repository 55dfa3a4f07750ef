"""Changes that a person vouched for: "this does not alter the output", kept instead of running a costly stage again.

Guarantees: an acceptance says which artifact stands in for which key, what had changed, who accepted it, when and why; it is a file of the
store (`.accepted/<stage>-<key>.json`), so lineage tells of it without any server. It vouches for code, libraries and settings, never for
other input: bytes that went in changed are a matter of fact, not of judgement. An acceptance whose artifact is gone or damaged counts for
nothing, and the stage runs.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field, ValidationError

from tasks.stage.store.store import Store
from tasks.stage.tracking.cost import now
from tasks.stage.tracking.progress import say

if TYPE_CHECKING:
    from tasks.stage.execution.plan import Decision

ACCEPTED = ".accepted"


class Acceptance(BaseModel, frozen=True, extra="forbid"):
    """One accepted change."""

    format: int = 1
    stage: str
    place: str
    recipe: str = Field(description="name of the recipe")
    key: str = Field(description="key that no execution has")
    instead: str = Field(description="key of the artifact that stands in")
    ingredients: dict[str, str] = Field(description="what that key is made of, by name")
    causes: tuple[str, ...] = Field(description="what had changed, in the words of the plan")
    reason: str
    who: str
    when: str = Field(description="UTC time, ISO 8601")


class NotAcceptable(ValueError):
    """A change that nobody can vouch for."""


def accepted(store: Store, stage: str, key: str) -> Acceptance | None:
    """The acceptance of a key, if there is one."""
    return _read(store, f"{stage}-{key}.json")


def acceptances(store: Store) -> Iterator[Acceptance]:
    """Every acceptance of a store, in name order."""
    for name in store.names(ACCEPTED):
        found = _read(store, name)
        if found is not None:
            yield found


def accept(store: Store, recipe: str, decision: Decision, reason: str) -> Acceptance:
    """Keep an acceptance of what a plan decided to run. Raises NotAcceptable naming what stands in the way."""
    place, last = decision.place, decision.last
    if not reason.strip():
        raise NotAcceptable(f"{place}: an acceptance needs its reason; give --reason with a few words.")
    if decision.action != "run" or decision.damaged is not None or not decision.key or last is None:
        raise NotAcceptable(f"{place}: there is nothing to accept, since {'; '.join(decision.causes[:3]) or 'it is reused as it is'}.")
    if last.key == decision.key:
        raise NotAcceptable(f"{place}: its artifact {last.location} is gone, so nothing can stand in for it; run it.")
    names = {*last.ingredients, *decision.ingredients}
    moved = sorted(
        n for n in names if last.ingredients.get(n) != decision.ingredients.get(n) and n.partition(".")[0] in ("input", "observed")
    )
    if moved:
        raise NotAcceptable(f"{place}: {', '.join(moved[:4])} changed: other bytes go in, which no acceptance covers; run it.")
    if store.check(last, digests=True):
        raise NotAcceptable(f"{place}: {last.location} is damaged, so it can't stand in; run it.")
    acceptance = Acceptance(
        stage=decision.stage,
        place=place,
        recipe=recipe,
        key=decision.key,
        instead=last.key,
        ingredients=dict(decision.ingredients),
        causes=decision.causes,
        reason=reason.strip(),
        who=getpass.getuser(),
        when=now(),
    )
    store.put(f"{ACCEPTED}/{decision.stage}-{decision.key}.json", acceptance.model_dump_json(indent=1).encode())
    return acceptance


def _read(store: Store, name: str) -> Acceptance | None:
    content = store.get(f"{ACCEPTED}/{name}")
    if content is None:
        return None
    try:
        return Acceptance.model_validate_json(content)
    except ValidationError as error:
        say(f"the acceptance {ACCEPTED}/{name} can't be read ({error.error_count()} faults) and counts for nothing")
        return None
