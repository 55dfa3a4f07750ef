"""Verdicts that a person has approved or refused, so nobody is asked about the same one twice.

An answer is about what was judged, not about a run: it names the digest of the verdict and of everything that was measured for it. Any run
that reaches the same verdict on the same measurements finds the answer; a changed verdict is asked about again. Answers are files in the
store, below `.approved/`, that end in their own checksum. The newest answer counts, and none is deleted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pydantic import BaseModel, Field

from tasks.stage.store.artifact import Artifact, combined_digest
from tasks.stage.store.sealed import seal, unseal
from tasks.stage.store.store import Store
from tasks.stage.system.progress import log

APPROVED = ".approved"
DIGITS = 16
"""Digits of the subject in the name of an answer's file."""


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
    """What a person is asked: whether what comes after a gate of a recipe may run. `shown`: the verdict as a table."""

    recipe: str
    position: str
    subject: str
    shown: str

    @property
    def title(self) -> str:
        """The question in one line."""
        return f"{self.position} of {self.recipe} passed and awaits approval."


class Answer(NamedTuple):
    """What a person answers."""

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
    found = (_read(store, name) for name in store.names(APPROVED))
    return sorted((one for one in found if one is not None), key=lambda one: one.when)


def find_approval(store: Store, verdict: Artifact) -> Approval | None:
    """Return the newest answer about a verdict; None if there is none."""
    subject = subject_of(verdict)
    found = (_read(store, name) for name in store.names(APPROVED) if name.startswith(f"{verdict.stage}-{subject[:DIGITS]}-"))
    answers = [one for one in found if one is not None and one.subject == subject]
    return max(answers, key=lambda one: one.when, default=None)


def save_approval(store: Store, verdict: Artifact, approval: Approval) -> None:
    """Write an answer about a verdict into the store."""
    moment = "".join(character for character in approval.when if character.isalnum())
    store.put(f"{APPROVED}/{verdict.stage}-{approval.subject[:DIGITS]}-{moment}.json", seal(approval.model_dump_json(indent=1)))


def _read(store: Store, name: str) -> Approval | None:
    content = store.get(f"{APPROVED}/{name}")
    try:
        text, checked = unseal(content or b"")
        if not checked:
            raise ValueError("it does not end in its checksum")
        return Approval.model_validate_json(text)
    except ValueError as error:
        log(f"the answer {APPROVED}/{name} can't be read ({error}) and is ignored")
        return None
