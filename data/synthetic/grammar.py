"""A grammar of templates and lists as a numbered set of texts: text n is made without making the others.

Numbers 0 to `size` - 1 cover every way to fill the slots, each once; two ways may give the same text. A slot without a list, a cycle of
lists, a list that no slot names and an unbalanced brace raise ValueError. Opening a grammar takes time in its size, making a text in the
text's. Numbers may be far larger than a machine word.
"""

from __future__ import annotations

import math
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

Part = tuple[str, str]
"""Literal text, and the list whose entry follows it ("" for none)."""


@dataclass(frozen=True)
class Grammar:
    """`templates` with {slots}, filled from `lists`, whose entries may hold slots, too."""

    templates: Sequence[str]
    lists: Mapping[str, Sequence[str]]

    @cached_property
    def size(self) -> int:
        """How many ways there are to fill the slots. Raises ValueError for a grammar that can't be used."""
        total = self._total(self._templates)
        if unused := sorted(self.lists.keys() - self._sizes.keys()):
            raise ValueError(f"list {unused[0]!r} is in no slot of a template or of a list that one needs; use it, or remove it")
        return total

    def text(self, number: int) -> str:
        """Return text `number`, from 0 to size - 1."""
        return self._pick(self._templates, number)

    @cached_property
    def _templates(self) -> list[list[Part]]:
        return [list(_parse(template, "a template")) for template in self.templates]

    @cached_property
    def _entries(self) -> dict[str, list[list[Part]]]:
        return {name: [list(_parse(entry, f"list {name!r}")) for entry in entries] for name, entries in self.lists.items()}

    @cached_property
    def _sizes(self) -> dict[str, int]:
        return {}

    def _total(self, patterns: list[list[Part]], within: tuple[str, ...] = ()) -> int:
        return sum(math.prod(self._size_of(slot, within) for _, slot in pattern if slot) for pattern in patterns)

    def _size_of(self, slot: str, within: tuple[str, ...]) -> int:
        if slot in within:
            cycle = " -> ".join((*within[within.index(slot) :], slot))
            raise ValueError(f"lists refer back to themselves ({cycle}), which makes texts without end; break the cycle")
        if not self.lists.get(slot):
            known = ", ".join(sorted(self.lists)) or "none"
            raise ValueError(
                f"slot {{{slot}}} names no list with entries (lists: {known}); add it, or write {{{{{slot}}}}} for plain braces"
            )
        if slot not in self._sizes:
            self._sizes[slot] = self._total(self._entries[slot], (*within, slot))
        return self._sizes[slot]

    def _pick(self, patterns: list[list[Part]], number: int) -> str:
        for pattern in patterns:
            ways = math.prod(self._sizes[slot] for _, slot in pattern if slot)
            if number < ways:
                return "".join(self._fill(pattern, number))
            number -= ways
        raise IndexError(f"these templates make {self.size} texts, numbered from 0; the number asked for is too large by {number + 1}")

    def _fill(self, pattern: list[Part], number: int) -> Iterator[str]:
        for literal, slot in pattern:
            yield literal
            if slot:
                number, chosen = divmod(number, self._sizes[slot])
                yield self._pick(self._entries[slot], chosen)


def _parse(pattern: str, where: str) -> Iterator[Part]:
    try:
        for literal, slot, format_spec, conversion in string.Formatter().parse(pattern):
            if slot is not None and (not slot.isidentifier() or format_spec or conversion):
                raise ValueError(f"a slot is {{name}} and nothing more, not {{{slot}}}")
            yield literal, slot or ""
    except ValueError as error:
        raise ValueError(f"{where} can't be read: {pattern[:80]!r}: {error}") from error
