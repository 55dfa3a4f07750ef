"""What importing modules does: which files run, in which order, and which of their statements may have an effect."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tasks.stage.identity.tracing.code.facts import Item, short_hash
from tasks.stage.identity.tracing.code.modules import Modules
from tasks.stage.identity.tracing.code.purity import Purity
from tasks.stage.identity.tracing.code.reading import module_name
from tasks.stage.identity.tracing.execution_code import FOLDERS, is_execution


class Importing:
    """The modules that are imported, from what is asked for. `effects`: statements that may act, in the order in which they run; `missing`:
    modules of the repository that are imported and not there.
    """

    def __init__(self, modules: Modules, purity: Purity) -> None:
        """Nothing is imported yet."""
        self.modules, self.purity = modules, purity
        self.reached: dict[str, None] = {}
        self.effects: list[tuple[str, Item]] = []
        self.missing: set[str] = set()

    def module(self, name: str) -> None:
        """Import a module, packages first."""
        for path in self.modules.executed(name):
            self.file(path)

    def file(self, path: str) -> None:
        """Import a file: what it imports itself, in the order of its statements, and the effects of the others."""
        if path in self.reached:
            return
        self.reached[path] = None
        for above in self.modules.executed(module_name(path).rpartition(".")[0]):
            self.file(above)
        if path.startswith(FOLDERS):
            return
        for item in self.modules.facts(path).items:
            if item.kind in ("typing", "program"):
                continue
            for piece in (item.piece, *(member.piece for member in item.members)):
                for module, *attribute in piece.imports:
                    if self.modules.is_missing(module):
                        self.missing.add(module)
                    for executed in self.modules.executed(module, *attribute):
                        self.file(executed)
            if item.kind != "import" and not is_execution(path, ",".join(item.names)) and not self.purity.is_pure(path, item):
                self.effects.append((path, item))

    def labels(self) -> list[str]:
        """Return the effects by name, in their order."""
        return [f"{path}:{','.join(item.names) or item.piece.plain}" for path, item in self.effects]

    def subclasses(self) -> Iterator[tuple[str, Item]]:
        """Yield the classes of imported modules that inherit, in the order in which they are made."""
        for path in self.reached:
            for item in self.modules.facts(path).items:
                if item.kind == "class" and item.bases and not is_execution(path, item.names[0]):
                    yield path, item

    def orders(self, counts: Callable[[str, str], bool]) -> Iterator[tuple[str, str]]:
        """Yield the hash of the order of a file's statements, where it can matter: some may act, or bind a name again."""
        for path in sorted(self.reached):
            order: list[str] = []
            matters = False
            for item in self.modules.facts(path).items:
                if item.kind in ("import", "typing", "program") or is_execution(path):
                    continue
                names = [name for name in item.names if counts(path, name)]
                acts = not self.purity.is_pure(path, item)
                again = any(len(self.modules.bound(path, name)) > 1 for name in names)
                matters |= acts or again
                if acts or again or (names and item.kind == "bind"):
                    order.append(",".join(names) or item.piece.plain)
            if matters and len(order) > 1:
                yield path, short_hash("\n".join(order))
