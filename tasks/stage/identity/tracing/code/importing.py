"""Analyse imports: which files run, in which order, and which of their definitions do nothing but bind a name."""

from __future__ import annotations

import builtins

from tasks.stage.identity.tracing.code.facts import Item, Piece
from tasks.stage.identity.tracing.code.modules import Modules
from tasks.stage.identity.tracing.code.reading import module_name
from tasks.stage.identity.tracing.marks import Marks

# Making a class of these does nothing beyond that class.
STILL_BASES = ("abc.ABC", "typing.", "typing_extensions.", "pydantic.")


class Importing:
    """The modules that are imported, from what is asked for.

    `reached`: their files in order; `sequence`: statements that may act elsewhere, and libraries that are first imported, in order;
    `missing`: modules of the repository that are imported and not there.
    """

    def __init__(self, marks: Marks, modules: Modules) -> None:
        """Import nothing yet."""
        self.marks, self.modules, self.project = marks, modules, modules.source.project
        self.reached: dict[str, None] = {}
        self.sequence: list[str] = []
        self.missing: set[str] = set()
        self.libraries: set[str] = set()
        self._ours: dict[str, bool] = {}
        self._loose: dict[int, bool] = {}

    def is_ours(self, module: str) -> bool:
        """Return whether a module is the repository's; a folder at the root is asked of the disk, so once for each name."""
        if module not in self._ours:
            self._ours[module] = self.modules.is_ours(module)
        return self._ours[module]

    def file(self, path: str) -> None:
        """Import a file: what it imports itself, in the order of its statements, and what the others do."""
        if path in self.reached:
            return
        self.reached[path] = None
        for above in self.modules.executed(module_name(path).rpartition(".")[0]):
            self.file(above)
        if path.startswith(self.project.execution_folders):
            return
        for item in self.modules.facts(path).items:
            if item.kind in ("typing", "program"):
                continue
            for piece in (item.piece, *(member.piece for member in item.members)):
                self._imports(piece)
            for name in self._star_modules(item):
                for executed in self.modules.executed(name):
                    self.file(executed)
            if item.kind != "import" and not (
                item.constant or self.is_loose(path, item) or self.project.is_execution(path, ",".join(item.names))
            ):
                self.sequence.append(f"{path}:{','.join(item.names) or item.piece.plain}")

    def _imports(self, piece: Piece) -> None:
        libraries = []
        for module, *attribute in piece.imports:
            if self.is_ours(module.partition(".")[0]) and not self.is_ours(module):
                self.missing.add(module)
            ours = False
            for path in self.modules.executed(module, *attribute):
                self.file(path)
                ours = True
            if not ours and not self.is_ours(module):
                libraries.append(module)
        for module in sorted(libraries):
            # What was loaded when the execution began does nothing when it is imported again.
            if module.partition(".")[0] not in self.marks.preloaded:
                self.libraries.add(module.partition(".")[0])
                self.sequence += [module] if module not in self.sequence else []

    def _star_modules(self, item: Item) -> list[str]:
        """Return the modules that a star import has imported: of a package with `__all__`, those directly in it that were."""
        stars = [module for local, module, _ in item.imports if local == "*"]
        listed = {module for module in stars if (path := self.modules.path_of(module)) and self.modules.bound(path, "__all__")}
        return [name for name in self.marks.modules if name.rpartition(".")[0] in listed] if listed else []

    def is_loose(self, path: str, item: Item) -> bool:
        """Return whether a definition does nothing when its statement runs but bind its name."""
        if not item.bases:
            return item.loose
        if id(item) not in self._loose:
            self._loose[id(item)] = item.loose and self._inherits_plainly(path, item)
        return self._loose[id(item)]

    def _inherits_plainly(self, path: str, item: Item) -> bool:
        """Return whether no base of a class acts on classes that inherit from it."""
        for base in item.bases:
            for where, found in self.modules.lead(path, base):
                if found is None:
                    if not (hasattr(builtins, where) or where.startswith(STILL_BASES) or self.marks.is_still(path, item.names[0])):
                        return False
                elif found is not item:
                    hooks = any("init_subclass" in name for member in found.members for name in member.names)
                    if hooks or not found.plain or not self._inherits_plainly(where, found):
                        return False
        return True
