"""Which members of a union that a tag decides between can matter: those that were made, and those that no tag of their own keeps apart."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.stage.identity.tracing.code.facts import Chain, Choice, Item
from tasks.stage.identity.tracing.code.modules import Modules, Step
from tasks.stage.identity.tracing.made_models import ANY
from tasks.stage.identity.tracing.marks import Marks

Member = tuple[str, Chain, tuple[Step, ...]]
"""The file that names a member of a union, its name there, and the steps to what that means."""


class Kinds:
    """The unions of one source, and what marks say of their members."""

    def __init__(self, marks: Marks, modules: Modules) -> None:
        """Judge members by what these marks say was made."""
        self.modules = modules
        self._made, self._programs = frozenset(marks.made), frozenset(marks.programs)
        self._any = ANY in self._made

    def counted(self, path: str, choice: Choice) -> Iterator[Member]:
        """Yield the members that can matter, in their order."""
        members = list(self._members(path, choice, frozenset()))
        taken = {tag for *_, steps in members for end in _classes(steps) if self._is_made(*end) for tag in end[1].tags}
        for member in members:
            classes = _classes(member[2])
            if not classes or not all(self._is_apart(path, item, taken) for path, item in classes):
                yield member

    def _members(self, path: str, choice: Choice, above: frozenset[int]) -> Iterator[Member]:
        for chain in choice.members:
            steps = self.modules.follow(path, chain)
            inner = [(step.path, item.choice) for step in steps for item in step.items if item.choice is not None]
            if not inner or _classes(steps):
                yield path, chain, steps
            for where, other in inner:
                if id(other) not in above:
                    yield from self._members(where, other, above | {id(other)})

    def _is_made(self, path: str, item: Item) -> bool:
        return self._any or f"{path}:{item.names[0]}" in self._made or path in self._programs

    def _is_apart(self, path: str, item: Item, taken: set[str]) -> bool:
        return bool(item.tags) and not self._is_made(path, item) and taken.isdisjoint(item.tags)


def _classes(steps: tuple[Step, ...]) -> list[tuple[str, Item]]:
    return [(step.path, item) for step in steps for item in step.items if item.kind == "class"]
