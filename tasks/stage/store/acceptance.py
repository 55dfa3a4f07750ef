"""Changes that a person accepted as not altering the output, which saves rerunning a costly stage.

An acceptance names one artifact, the key that it may be reused for, and the exact trace that it has on the accepted source; with what had
changed, who accepted it, when and why. Any further change of what the artifact's execution read ends it. It is a file of the store, below
`.accepted/`, that ends in its own checksum, so lineage shows it without any server. It covers changes of code, libraries and settings,
never of input: whether the bytes that went in changed is a fact, not a judgement. If the artifact is gone or damaged the acceptance is
ignored and the stage runs.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, Field

from tasks.stage.store.sealed import seal, unseal
from tasks.stage.store.store import Store
from tasks.stage.system.progress import log

ACCEPTED = ".accepted"
FORMAT = 2
DIGITS = 16
"""Digits of each hash in the name of an acceptance's file."""


class AcceptedHash(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """One entry of a trace before and after an accepted change; empty where there is none."""

    old: str
    new: str


class Acceptance(BaseModel, frozen=True, extra="forbid", defer_build=True, validate_by_name=True, serialize_by_alias=True):
    """One accepted change."""

    format: int = FORMAT
    stage: str
    position: str = Field(alias="place")
    recipe: str = Field(description="name of the recipe")
    key: str = Field(description="key of the changed call, which was not executed")
    instead: str = Field(description="address of the artifact that is reused for it")
    trace: str = Field(description="hash of that artifact's trace on the accepted source")
    changes: dict[str, AcceptedHash] = Field(description="what differs between the artifact's trace and the accepted one, by name")
    ingredients: dict[str, str] = Field(description="ingredients of the changed key, by name")
    causes: tuple[str, ...] = Field(description="what had changed, as the plan describes it")
    reason: str
    who: str
    when: str = Field(description="UTC time, ISO 8601")

    @property
    def file(self) -> str:
        """Path inside the store."""
        return f"{ACCEPTED}/{self.stage}-{self.key[:DIGITS]}-{self.instead[:DIGITS]}-{self.trace[:DIGITS]}.json"


def acceptances_of(store: Store, stage: str, key: str) -> list[Acceptance]:
    """Return the acceptances of a key, newest first."""
    named = (name for name in store.names(ACCEPTED) if name.startswith(f"{stage}-{key[:DIGITS]}-"))
    found = (acceptance for name in named if (acceptance := _read(store, name)) is not None)
    return sorted((one for one in found if (one.stage, one.key) == (stage, key)), key=lambda one: one.when, reverse=True)


def acceptances(store: Store) -> Iterator[Acceptance]:
    """Yield every acceptance of a store, in name order."""
    for name in store.names(ACCEPTED):
        found = _read(store, name)
        if found is not None:
            yield found


def save(store: Store, acceptance: Acceptance) -> None:
    """Write an acceptance into the store."""
    store.put(acceptance.file, seal(acceptance.model_dump_json(indent=1)))


def _read(store: Store, name: str) -> Acceptance | None:
    content = store.get(f"{ACCEPTED}/{name}")
    if content is None:
        return None
    try:
        text, checked = unseal(content)
        if checked:
            return Acceptance.model_validate_json(text)
        log(f"the acceptance {ACCEPTED}/{name} has no checksum, as those given before traces were recorded, and is ignored")
    except ValueError as error:
        log(f"the acceptance {ACCEPTED}/{name} can't be read ({type(error).__name__}) and is ignored")
    return None
