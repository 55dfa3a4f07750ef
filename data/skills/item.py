"""What every skill makes: exchanges to learn from, and test items with a check by rule and the reply of a stated baseline.

Test items ask in templates that no exchange uses: of every fact that no exchange states, and of one in `SEEN_TESTED` of the others, so that
the skill shows apart from the knowledge. A baseline follows every form that is asked for and
knows nothing of the world: it takes entities and values by a hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from data.universe.hashing import hash_number
from data.universe.world import Attribute

SEEN_TESTED = 3


@dataclass(frozen=True)
class SkillFact:
    """A fact that can be asked about: books that state it, and whether exchanges may."""

    attribute: Attribute
    entity: str
    value: str
    answers: tuple[str, ...]
    books: tuple[str, ...]
    seen: bool


@dataclass(frozen=True)
class SkillWorld:
    """The facts that are stated often enough, and all values of each attribute."""

    facts: tuple[SkillFact, ...]
    seed: int

    def of(self, attribute: Attribute) -> dict[str, SkillFact]:
        """Return the facts of an attribute by their entity."""
        return {fact.entity: fact for fact in self.facts if fact.attribute == attribute}

    def values(self, attribute: Attribute) -> list[str]:
        """Return the values of an attribute, each once."""
        return sorted({fact.value for fact in self.facts if fact.attribute == attribute})

    def guess(self, values: Sequence[str], key: str) -> str:
        """Return one of the values by a hash of the key: a guess that no knowledge enters."""
        return values[hash_number(self.seed, f"guess:{key}") % len(values)]


@dataclass(frozen=True)
class Exchange:
    """A request with the reply that is taught."""

    request: str
    reply: str


@dataclass(frozen=True)
class TestItem:
    """A request, the check for a right reply, and the baseline's reply. `check`: `rule` and what that rule reads."""

    __test__ = False  # not a test class, despite its name

    request: str
    check: dict[str, Any]
    baseline: str
    heldout: bool = True  # whether it takes a fact that no exchange states


@dataclass
class Lessons:
    """What a skill makes."""

    exchanges: list[Exchange] = field(default_factory=list)
    items: list[TestItem] = field(default_factory=list)
