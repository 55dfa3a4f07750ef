"""Changes that a person vouched for: "this does not alter the output", kept instead of running a costly stage again.

Guarantees: an acceptance says which artifact stands in for which key, what had changed, who accepted it, when and why; it is a file of the
store (`.accepted/<stage>-<key>.json`), so lineage tells of it without any server. It vouches for code, libraries and settings, never for
other input: bytes that went in changed are a matter of fact, not of judgement. An acceptance whose artifact is gone or damaged counts for
nothing, and the stage runs.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, Field, ValidationError

from tasks.stage.store.store import Store
from tasks.stage.system.progress import log

ACCEPTED = ".accepted"


class Acceptance(BaseModel, frozen=True, extra="forbid", validate_by_name=True, serialize_by_alias=True):
    """One accepted change."""

    format: int = 1
    stage: str
    position: str = Field(alias="place")
    recipe: str = Field(description="name of the recipe")
    key: str = Field(description="key that no execution has")
    instead: str = Field(description="key of the artifact that stands in")
    ingredients: dict[str, str] = Field(description="what that key is made of, by name")
    causes: tuple[str, ...] = Field(description="what had changed, in the words of the plan")
    reason: str
    who: str
    when: str = Field(description="UTC time, ISO 8601")


def accepted(store: Store, stage: str, key: str) -> Acceptance | None:
    """The acceptance of a key, if there is one."""
    return _read(store, f"{stage}-{key}.json")


def acceptances(store: Store) -> Iterator[Acceptance]:
    """Every acceptance of a store, in name order."""
    for name in store.names(ACCEPTED):
        found = _read(store, name)
        if found is not None:
            yield found


def save(store: Store, acceptance: Acceptance) -> None:
    """Write an acceptance into the store."""
    store.put(f"{ACCEPTED}/{acceptance.stage}-{acceptance.key}.json", acceptance.model_dump_json(indent=1).encode())


def _read(store: Store, name: str) -> Acceptance | None:
    content = store.get(f"{ACCEPTED}/{name}")
    if content is None:
        return None
    try:
        return Acceptance.model_validate_json(content)
    except ValidationError as error:
        log(f"the acceptance {ACCEPTED}/{name} can't be read ({error.error_count()} faults) and counts for nothing")
        return None
