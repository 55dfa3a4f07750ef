"""Changes that a person accepted as not altering the output, so that a costly stage is not run again.

An acceptance records which artifact replaces which key, what had changed, who accepted it, when and why. It is a file of the store
(`.accepted/<stage>-<key>.json`), so lineage shows it without any server. It covers changes of code, libraries and settings, never of
input: whether the bytes that went in changed is a fact, not a judgement. If the replacing artifact is gone or damaged the acceptance is
ignored and the stage runs.
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
    key: str = Field(description="key of the changed stage, which was never executed")
    instead: str = Field(description="key of the artifact that replaces it")
    ingredients: dict[str, str] = Field(description="ingredients of the changed key, by name")
    causes: tuple[str, ...] = Field(description="what had changed, as the plan describes it")
    reason: str
    who: str
    when: str = Field(description="UTC time, ISO 8601")


def accepted(store: Store, stage: str, key: str) -> Acceptance | None:
    """Return the acceptance of a key, if there is one."""
    return _read(store, f"{stage}-{key}.json")


def acceptances(store: Store) -> Iterator[Acceptance]:
    """Yield every acceptance of a store, in name order."""
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
        log(f"the acceptance {ACCEPTED}/{name} can't be read ({error.error_count()} errors) and is ignored")
        return None
