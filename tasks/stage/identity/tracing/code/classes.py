"""Decide which parts of a class count if the class counts.

Its header counts always, as do statements in its body that may act, and methods that a decorator may keep. The other values in its body
count if something reads them by name, unless the class is of a kind that reads them all, such as an enum, a dataclass or a model. A method
that nothing has entered counts by its header, and only if something asks for its name: so one that is added, and would be found first, is
seen.
"""

from __future__ import annotations

from collections.abc import Iterator

from tasks.stage.identity.tracing.code.facts import Item
from tasks.stage.identity.tracing.code.mentions import ANY
from tasks.stage.identity.tracing.code.modules import Modules
from tasks.stage.identity.tracing.code.purity import Purity
from tasks.stage.identity.tracing.execution_code import is_execution
from tasks.stage.identity.tracing.marks import Marks

PLAIN_BASES = frozenset({"abc.ABC", "typing.Protocol", "typing.Generic"})


class ClassRules:
    """Rules for the classes of one source, and what marks say of them."""

    def __init__(self, marks: Marks, modules: Modules, purity: Purity) -> None:
        """Judge classes of these modules."""
        self.marks, self.modules, self.purity = marks, modules, purity

    def shaping(self, path: str, item: Item, *, whole: bool) -> Iterator[Item]:
        """Yield the members that shape a class; `whole`: all its values are read."""
        whole = whole or not self.is_plain(path, item)
        for member in item.members:
            if member.kind == "def":
                if member.registered:
                    yield member
            elif member.kind != "class" and (whole or member.kind != "bind" or not self.purity.is_pure(path, member)):
                yield member

    def inherited(self, path: str, qualname: str, item: Item) -> frozenset[str]:
        """Return the names by which libraries that a class inherits from find its members; ANY if that isn't known."""
        if item.registered and any(base[-1:] == ("Protocol",) for base in item.bases):
            return frozenset({ANY})  # a protocol that is checked at run time asks for all it has
        found = frozenset[str]() if self.is_own(path, item) else self.marks.inherited(path, qualname)
        return frozenset({ANY}) if found is None else found

    def asked_for(self, path: str, qualname: str, item: Item, names: frozenset[str]) -> Iterator[tuple[str, Item]]:
        """Yield the members that are found by one of the names, or by Python."""
        for member in item.members:
            for name in member.names:
                special = name.startswith("__") and name.endswith("__")
                if (special or ANY in names or name in names) and not is_execution(path, f"{qualname}.{name}"):
                    yield name, member

    def is_own(self, path: str, item: Item) -> bool:
        """Return whether a class inherits from nothing but our own classes and `object`."""
        steps = [step for base in item.bases if base for step in self.modules.follow(path, base)]
        if not all(item.bases) or any(step.library not in ("", *PLAIN_BASES) for step in steps):
            return False
        ours = ((step.path, inner) for step in steps for inner in step.items if inner is not item)
        return all(inner.kind in ("import", "typing") or self.is_own(where, inner) for where, inner in ours)

    def is_plain(self, path: str, item: Item) -> bool:
        """Return whether nothing but attribute access reads the values in a class."""
        if item.registered or item.keywords or not all(item.bases):
            return False
        for base in item.bases:
            for step in self.modules.follow(path, base):
                if step.library and step.library not in PLAIN_BASES:
                    return False
                if any(inner.kind == "bind" or (inner.kind == "class" and not self.is_plain(step.path, inner)) for inner in step.items):
                    return False
        return True
