"""Sources with the analysis of them, each piece of code analysed once, whoever reaches it."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import cached_property

from tasks.stage.identity.code import named_files
from tasks.stage.identity.code.import_time import acts_at_import
from tasks.stage.identity.code.source_tree import Module, Tree
from tasks.stage.identity.code.syntax import Writer, is_machinery, short_hash
from tasks.stage.identity.code.uses import Uses, uses

OWN_FILES = frozenset({"__file__", "__path__", "__spec__"})


@dataclass
class Code:
    """A piece of code of a module: what it uses, and its hash with and without what only reflection sees."""

    module: Module
    statements: list[ast.stmt]
    uses: Uses
    prefix: str

    @cached_property
    def hash(self) -> str:
        """Hash of what the code does."""
        return self._hash(described=False)

    @cached_property
    def described(self) -> str:
        """The same with docstrings and annotations."""
        return self._hash(described=True)

    def _hash(self, *, described: bool) -> str:
        # What an imported name refers to is part of the code that uses it.
        bound = sorted({f"{name}={alias}" for name, _ in self.uses.names for alias in self.module.imports.get(name, [])})
        return short_hash("\n".join([self.prefix, *bound, Writer(self.module, described=described).statements(self.statements)]))

    @property
    def is_path(self) -> bool:
        """Whether it is a constant made of this file's own path."""
        return bool(self.uses.built_ins & OWN_FILES) and all(isinstance(s, (ast.Assign, ast.AnnAssign)) for s in self.statements)


@dataclass
class Sources:
    """A tree with the analysis of it."""

    tree: Tree
    codes: dict[tuple[str, str], Code] = field(default_factory=dict)
    named: dict[tuple[str, str, bool], tuple[list[str], list[str]]] = field(default_factory=dict)
    acts: dict[str, list[str]] = field(default_factory=dict)

    def code(self, module: Module, name: str, statements: list[ast.stmt], *, entry: bool = False, prefix: str = "") -> Code:
        """Return analysed statements of a module's top level."""
        key = (module.name, f"{name}()" if entry else name)
        if key not in self.codes:
            self.codes[key] = Code(module, statements, uses(module, statements, annotations=entry), prefix)
        return self.codes[key]

    def files(self, module: Module, text: str, part: bool) -> tuple[list[str], list[str]]:
        """Return the files that a string names, and those of whose name it may be a part."""
        key = (module.folder, text, part or module.goes_up)
        if key not in self.named:
            certain = named_files.certain(self.tree, module, text)
            self.named[key] = (certain, named_files.possible(self.tree, module, text) if part or not certain else [])
        return self.named[key]

    def acts_at_import(self, module: Module) -> list[str]:
        """Definitions of a module that may do more at import than define."""
        if module.name not in self.acts:
            self.acts[module.name] = acts_at_import(self.tree, module)
        return self.acts[module.name]

    @cached_property
    def patches(self) -> list[tuple[str, set[str]]]:
        """Modules that set names of other modules when they are imported, with those modules."""
        modules = [module for name in self.tree.names if not is_machinery(name) and (module := self.tree.module(name))]
        return [(module.name, patched) for module in modules if (patched := _patched(self.tree, module))]


def _patched(tree: Tree, module: Module) -> set[str]:
    """Return the other modules whose names a module's own top level sets."""
    found: set[str] = set()
    for effect in module.effects:
        for node in ast.walk(effect):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                for name, chain in uses(module, [node]).names:
                    for alias in module.imports.get(name, []):
                        parts = [part for part in (*alias.module.split("."), alias.attribute, *chain[:-1]) if part]
                        prefixes = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
                        found |= {next((prefix for prefix in prefixes if tree.path(prefix) is not None), "")}
    return found
