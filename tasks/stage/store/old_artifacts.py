"""Artifacts that another version of folio made, so that what they ran can't be compared with the code of this one.

A version shows in the format of a record, in what is marked of an execution, and in the rules by which marks become a trace. Such artifacts
are neither damaged nor reused unseen: their stages run again, a plan and the start of a run name them, and their files stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tasks.stage.store.artifact import Artifact, without_shard
from tasks.stage.store.index import Damaged, OtherFormat
from tasks.stage.store.journal import PositionRecord
from tasks.stage.store.store import Store
from tasks.stage.store.traces import age_of
from tasks.stage.store.verdicts import acceptances_of
from tasks.stage.system.command_line import folio

RULES = "rules "  # of these alone the marks can be looked up again, so an acceptance can say of what it holds


@dataclass(frozen=True)
class OldArtifact:
    """One of them. `age`: what of it is of which version, such as "rules 2, now 3"."""

    location: str
    age: str

    @property
    def cause(self) -> str:
        """Why its stage runs."""
        return f"{self.location} was made by {maker(self.age)} ({self.age}), so what it ran can't be compared"

    @property
    def refusal(self) -> str:
        """Why nobody can vouch for it; "" if somebody can."""
        if self.age.startswith(RULES):
            return ""
        return f"{self.cause}: a later change could not be told, so no acceptance can keep it"


def find_old(
    store: Store, last: Artifact | None, before: PositionRecord | None, candidates: Iterable[Artifact | Damaged] = ()
) -> OldArtifact | None:
    """Return what another folio made for a call. `last`: the record to compare with; `before`: what the last run had at the position."""
    foreign = [one for one in candidates if isinstance(one, OtherFormat)]
    if before is not None and (last is None or last.address != before.address):
        foreign += [one for one in (store.index.read(before.location),) if isinstance(one, OtherFormat)]
    found = foreign[0] if foreign else last
    age = age_of(store, found)
    return OldArtifact(found.location, age) if found is not None and age else None


def old_of_last_run(store: Store, before: Mapping[str, PositionRecord]) -> dict[str, OldArtifact]:
    """Return what another folio made of what a recipe's last run used, by position; without those that somebody accepted."""
    found: dict[str, OldArtifact] = {}
    for position, recorded in before.items():
        record = store.index.read(recorded.location)
        if (age := age_of(store, record)) and not acceptances_of(store, recorded.stage, recorded.key):
            found[position] = OldArtifact(recorded.location, age)
    return found


def old_lines(found: Mapping[str, OldArtifact]) -> list[str]:
    """Return a sentence for each version that artifacts are of. `found`: by the position where they are missed."""
    lines = []
    for age in dict.fromkeys(old.age for old in found.values()):
        group = {position: old for position, old in found.items() if old.age == age}
        stages = ", ".join(dict.fromkeys(map(without_shard, group)))
        count = len({old.location for old in group.values()})
        way = (
            "no acceptance can keep one, since a later change could not be told"
            if next(iter(group.values())).refusal
            else f"to keep what one made: {folio('accept', 'STAGE', '--reason', '...')}"
        )
        lines.append(
            f"{count} {'artifact' if count == 1 else 'artifacts'} of this store {'was' if count == 1 else 'were'} made by {maker(age)} "
            f"({age}): what they ran can't be compared, so their stages run again: {stages}; {way}"
        )
    return lines


def maker(age: str) -> str:
    """Return "an older folio" or "a newer folio", by the versions that an age compares."""
    numbers = re.findall(r"[0-9]+", age)
    return "a newer folio" if len(numbers) == 2 and int(numbers[0]) > int(numbers[1]) else "an older folio"
