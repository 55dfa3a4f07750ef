"""A grammar of templates and lists, as a numbered set of texts: the n-th text is made without making the others.

Guarantees: numbers 0 to `size` - 1 stand for every way to fill the slots, each once. Two ways may read the same, if the lists make it so.
A slot of an unknown list, a list that leads back to itself, a list that no slot names and a broken brace are ValueErrors that name it.
Costs: the size of the grammar to open, and of the text to make one. Numbers may be far larger than any machine word.
"""

from __future__ import annotations

import math
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

Part = tuple[str, str]
"""Literal text, and the list that follows it ("" for none)."""


@dataclass(frozen=True)
class Grammar:
    """`templates` with {slots} that are filled from `lists`, whose entries may hold slots, too."""

    templates: Sequence[str]
    lists: Mapping[str, Sequence[str]]

    @cached_property
    def size(self) -> int:
        """In how many ways the slots can be filled. Raises ValueError as the module says."""
        total = self._total(self._templates)
        if unused := sorted(self.lists.keys() - self._sizes.keys()):
            raise ValueError(f"list {unused[0]!r} is in no slot of a template or of a list that one needs; use it, or take it out")
        return total

    def text(self, number: int) -> str:
        """The text of a number, from 0 to size - 1."""
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

    def _total(self, forms: list[list[Part]], within: tuple[str, ...] = ()) -> int:
        return sum(math.prod(self._size_of(slot, within) for _, slot in form if slot) for form in forms)

    def _size_of(self, slot: str, within: tuple[str, ...]) -> int:
        if slot in within:
            circle = " -> ".join((*within[within.index(slot) :], slot))
            raise ValueError(f"lists lead back to themselves ({circle}), so there is no end of texts; break the circle")
        if not self.lists.get(slot):
            known = ", ".join(sorted(self.lists)) or "none"
            raise ValueError(
                f"slot {{{slot}}} names no list with entries (lists: {known}); add it, or write {{{{{slot}}}}} for plain braces"
            )
        if slot not in self._sizes:
            self._sizes[slot] = self._total(self._entries[slot], (*within, slot))
        return self._sizes[slot]

    def _pick(self, forms: list[list[Part]], number: int) -> str:
        for form in forms:
            ways = math.prod(self._sizes[slot] for _, slot in form if slot)
            if number < ways:
                return "".join(self._filled(form, number))
            number -= ways
        raise IndexError(f"these templates make {self.size} texts, numbered from 0; {number} more were asked for")

    def _filled(self, form: list[Part], number: int) -> Iterator[str]:
        for literal, slot in form:
            yield literal
            if slot:
                number, chosen = divmod(number, self._sizes[slot])
                yield self._pick(self._entries[slot], chosen)


def _parse(form: str, where: str) -> Iterator[Part]:
    try:
        for literal, slot, layout, conversion in string.Formatter().parse(form):
            if slot is not None and (not slot.isidentifier() or layout or conversion):
                raise ValueError(f"a slot is {{name}} and nothing more, not {{{slot}}}")
            yield literal, slot or ""
    except ValueError as error:
        raise ValueError(f"{where} can't be read: {form[:80]!r}: {error}") from error
