"""Judgements of people, kept in the store: answers about verdicts, and changes accepted as not altering an output.

An answer is about what was judged, not about a run: it names the digest of the verdict and of everything that was measured for it. Any run
that reaches the same verdict on the same measurements finds the answer; a changed verdict is asked about again. The newest answer counts,
and none is deleted.

An acceptance saves rerunning a costly stage. It names one artifact, the key that it may be reused for, and the exact trace that it has on
the accepted source; with what had changed, who accepted it, when and why. Any further change of what the artifact's execution read ends it.
It covers changes of code, libraries and settings, never of input: whether the bytes that went in changed is a fact, not a judgement. If the
artifact is gone or damaged the acceptance is ignored and the stage runs.

Both are files (below `.approved/` and `.accepted/`) that end in their own checksum, so lineage shows them without any server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from pydantic import BaseModel, Field

from tasks.stage.store.artifact import Artifact, combined_digest, seal, unseal
from tasks.stage.store.store import Store
from tasks.stage.system.progress import log

ACCEPTED = ".accepted"
FORMAT = 2
DIGITS = 16
"""Digits of each hash in the name of an acceptance's file."""
APPROVED = ".approved"
"""Digits of the subject in the name of an answer's file."""


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


class Approval(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A person's answer about one verdict."""

    format: int = 1
    position: str = Field(description="position of the gate, such as gate.release")
    recipe: str = Field(description="name of the recipe")
    subject: str = Field(description="digest of the verdict and of what it was judged by")
    location: str = Field(description="of the verdict in the store")
    approved: bool = Field(description="whether the stages after the gate may run")
    who: str = Field(min_length=1, description="name of the person")
    reason: str = Field(min_length=1, description="text")
    when: str = Field(description="UTC time, ISO 8601")

    @property
    def words(self) -> str:
        """The answer for people."""
        return f"{'approved' if self.approved else 'refused'} by {self.who}: {self.reason}"


class Question(NamedTuple):
    """The question to a person: may what comes after a gate of a recipe run? `shown`: the verdict as a table."""

    recipe: str
    position: str
    subject: str
    shown: str

    @property
    def title(self) -> str:
        """The question in one line."""
        return f"{self.position} of {self.recipe} passed and awaits approval."


class Answer(NamedTuple):
    """A person's answer."""

    approved: bool
    who: str
    reason: str


Approver = Callable[[Question], Answer]
"""Asks a person, or ends the run, which asks again when it is continued."""


def subject_of(verdict: Artifact) -> str:
    """Return what an answer about a verdict is about."""
    return combined_digest([verdict.digest, *(item.digest for _, item in sorted(verdict.inputs.items()))])


def approvals(store: Store) -> list[Approval]:
    """Return every answer in a store, oldest first."""
    found = (_read_approval(store, name) for name in store.names(APPROVED))
    return sorted((one for one in found if one is not None), key=lambda one: one.when)


def find_approval(store: Store, verdict: Artifact) -> Approval | None:
    """Return the newest answer about a verdict; None if there is none."""
    subject = subject_of(verdict)
    found = (_read_approval(store, name) for name in store.names(APPROVED) if name.startswith(f"{verdict.stage}-{subject[:DIGITS]}-"))
    answers = [one for one in found if one is not None and one.subject == subject]
    return max(answers, key=lambda one: one.when, default=None)


def save_approval(store: Store, verdict: Artifact, approval: Approval) -> None:
    """Write an answer about a verdict into the store."""
    moment = "".join(character for character in approval.when if character.isalnum())
    store.put(f"{APPROVED}/{verdict.stage}-{approval.subject[:DIGITS]}-{moment}.json", seal(approval.model_dump_json(indent=1)))


def _read_approval(store: Store, name: str) -> Approval | None:
    content = store.get(f"{APPROVED}/{name}")
    try:
        text, checked = unseal(content or b"")
        if not checked:
            raise ValueError("it does not end in its checksum")
        return Approval.model_validate_json(text)
    except ValueError as error:
        log(f"the answer {APPROVED}/{name} can't be read ({error}) and is ignored")
        return None
