"""A snapshot of the repository's sources, and its modules as syntax trees.

A tree is read once, so every question is answered from the same bytes, whatever is edited meanwhile. Only the four rooms are read; nothing
is imported or executed. A module is parsed once a tree.
The cost is one read of every file of the rooms (about 10 ms) and one parse of each module asked for.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
ROOMS = ("flows", "tasks", "model", "data")
UPWARDS = re.compile(rb"\.parents\b|\.parent\.parent\b|[\"'/]\.\.[\"'/]|\bpardir\b")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SCOPES = (*FUNCTIONS, ast.ClassDef, ast.Lambda)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True, order=True)
class Alias:
    """A name bound by an import: `module` itself, or `attribute` of it."""

    module: str
    attribute: str = ""

    def __str__(self) -> str:
        return f"{self.module}:{self.attribute}"


@dataclass
class Module:
    """One source file: what it defines and imports at its top level, in order, and its other top-level statements.

    `program`: what it does when started instead of imported. `goes_up`: whether it may name files above its own folder.
    """

    name: str
    relative: str
    body: list[ast.stmt] = field(default_factory=list)
    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, list[Alias]] = field(default_factory=dict)
    imported: list[Alias] = field(default_factory=list)
    stars: list[str] = field(default_factory=list)
    effects: list[ast.stmt] = field(default_factory=list)
    bound: set[str] = field(default_factory=set)
    program: list[ast.stmt] = field(default_factory=list)
    goes_up: bool = False

    @property
    def is_package(self) -> bool:
        """Whether other modules lie below it."""
        return self.relative.endswith("/__init__.py")

    @property
    def folder(self) -> str:
        """The folder of its file, such as `data/cleaning`."""
        return self.relative.rpartition("/")[0]

    def binds(self, name: str) -> bool:
        """Return whether its top level binds `name`, star imports aside."""
        return name in self.definitions or name in self.imports or name in self.bound


class Tree:
    """The Python files of the rooms and the data files beside them, by path from the root. Recipes in `flows` are not data of any code."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self._modules: dict[str, Module | None] = {}
        self._folders: dict[str, list[str]] = {}

    @classmethod
    def read(cls, root: Path = ROOT) -> Tree:
        """Read the files as they are now."""
        found: dict[str, bytes] = {}
        for name in sorted(_names(root)):
            with suppress(FileNotFoundError):  # an editor's temporary file that vanished meanwhile
                found[name] = (root / name).read_bytes()
        return cls(found)

    @cached_property
    def digest(self) -> str:
        """Hash of all names and bytes."""
        whole = hashlib.sha256()
        for name, content in self.files.items():
            whole.update(f"{name}\0{len(content)}\0".encode())
            whole.update(content)
        return whole.hexdigest()

    @cached_property
    def data(self) -> tuple[str, ...]:
        """Every file that is not Python."""
        return tuple(name for name in self.files if not name.endswith(".py"))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every module by its dotted name."""
        files = (name.removesuffix("/__init__.py").removesuffix(".py") for name in self.files if name.endswith(".py"))
        return tuple(sorted(name.replace("/", ".") for name in files))

    @cached_property
    def packages(self) -> frozenset[str]:
        """Every module and every folder that leads to one, by dotted name."""
        parts = (name.split(".") for name in self.names)
        return frozenset(".".join(part[:end]) for part in parts for end in range(1, len(part) + 1))

    def path(self, name: str) -> str | None:
        """Return the file of a module, or None when the name is not ours."""
        base = name.replace(".", "/")
        return next((path for path in (f"{base}/__init__.py", f"{base}.py") if path in self.files), None)

    def below(self, package: str) -> list[str]:
        """Return the names of a module and of all below it."""
        if package not in self.packages:
            return []
        return [name for name in self.names if name == package or name.startswith(f"{package}.")]

    def inside(self, folder: str) -> list[str]:
        """Return the files at or below a folder."""
        if folder not in self._folders:
            self._folders[folder] = [name for name in self.files if name.startswith(f"{folder}/")]
        return self._folders[folder]

    def module(self, name: str) -> Module | None:
        """Return a parsed module; None when the name is not ours, or the file is not valid Python, which nothing can import."""
        if name not in self._modules:
            path = self.path(name)
            self._modules[name] = None if path is None else _parse(name, path, self.files[path])
        return self._modules[name]

    def imported(self, alias: Alias) -> Iterator[str]:
        """Yield our modules that an import executes, packages first."""
        parts = [*alias.module.split("."), alias.attribute] if alias.attribute else alias.module.split(".")
        for end in range(1, len(parts) + 1):
            if self.path(".".join(parts[:end])) is not None:
                yield ".".join(parts[:end])


def _names(root: Path) -> Iterator[str]:
    for room in ROOMS:
        for folder, folders, files in os.walk(root / room):
            folders[:] = [name for name in folders if name != "__pycache__" and not name.startswith(".")]
            for name in files:
                kept = name.endswith(".py") or (room != "flows" and not name.endswith((".pyc", "~")))
                if kept and not name.startswith("."):
                    yield Path(folder, name).relative_to(root).as_posix()


def syntax(source: str | bytes, name: str) -> ast.Module:
    """Parse a module, or an annotation.

    Python 3.11 counts the parsing depth of all threads as one and refuses a tree when another thread has parsed meanwhile, as Prefect's
    threads sometimes do; it raises SystemError (or RecursionError), and parsing is tried again.
    """
    for _ in range(20):
        try:
            return ast.parse(source, filename=name)
        except (SystemError, RecursionError):
            time.sleep(0.005)
    return ast.parse(source, filename=name)


def _parse(name: str, path: str, content: bytes) -> Module | None:
    module = Module(name, path, goes_up=bool(UPWARDS.search(content)))
    try:
        statements = syntax(content, path).body
    except (SyntaxError, ValueError):
        return None
    for statement in statements:
        _add(module, statement)
    return module


def _add(module: Module, statement: ast.stmt) -> None:
    if is_docstring(statement):
        module.definitions.setdefault("__doc__", [statement])
        return
    if isinstance(statement, ast.If) and _is_name(statement.test, "TYPE_CHECKING"):
        # Imports for the type checker are used only in annotations.
        for local, alias in (found for node in own_nodes(statement.body) for found in aliases(node, module)):
            module.imports.setdefault(local, []).append(alias)
        for other in statement.orelse:
            _add(module, other)
        return
    if isinstance(statement, ast.If) and not statement.orelse and _is_program(statement.test):
        module.program += statement.body
        return
    module.body.append(statement)
    for local, alias in (found for node in own_nodes([statement]) for found in aliases(node, module)):
        module.imported.append(alias)
        if local == "*":
            module.stars.append(alias.module)
        else:
            module.imports.setdefault(local, []).append(alias)
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return
    names = _defined(statement, module)
    for bound in names:
        module.definitions.setdefault(bound, []).append(statement)
    if not names:
        module.effects.append(statement)
        module.bound |= bound_names(own_nodes([statement]))


def _defined(statement: ast.stmt, module: Module) -> list[str]:
    """Return the names that a top-level statement binds, if it does nothing else."""
    if isinstance(statement, (*FUNCTIONS, ast.ClassDef)):
        return [statement.name]
    if isinstance(statement, ast.AugAssign):
        # `table += more` changes the table in place, which may be another module's.
        target = statement.target
        return [target.id] if isinstance(target, ast.Name) and target.id in module.definitions else []
    if isinstance(statement, (ast.Assign, ast.AnnAssign)):
        targets = list(statement.targets) if isinstance(statement, ast.Assign) else [statement.target]
        flat = [part for target in targets for part in _unpacked(target)]
        return [part.id for part in flat if isinstance(part, ast.Name)] if all(isinstance(part, ast.Name) for part in flat) else []
    return []


def _unpacked(target: ast.expr) -> Iterator[ast.expr]:
    if isinstance(target, (ast.Tuple, ast.List)):
        for part in target.elts:
            yield from _unpacked(part)
    elif isinstance(target, ast.Starred):
        yield from _unpacked(target.value)
    else:
        yield target


def aliases(node: ast.AST, module: Module) -> list[tuple[str, Alias]]:
    """Return the local names that an import statement binds, with what they refer to; a star import has the name `*`."""
    if isinstance(node, ast.Import):
        # `import a.b` executes a.b and binds a.
        bound = [(a.asname or a.name.split(".")[0], Alias(a.name if a.asname else a.name.split(".")[0])) for a in node.names]
        return bound + [("", Alias(a.name)) for a in node.names if "." in a.name and not a.asname]
    if not isinstance(node, ast.ImportFrom):
        return []
    source = node.module or ""
    if node.level:
        parts = module.name.split(".")
        parts = parts[: len(parts) - node.level + module.is_package]
        source = ".".join([*parts, source] if source else parts)
    return [("*", Alias(source)) if a.name == "*" else (a.asname or a.name, Alias(source, a.name)) for a in node.names]


def own_nodes(nodes: Iterable[ast.AST]) -> list[ast.AST]:
    """Return these nodes and all inside them that run in the same scope."""
    found: list[ast.AST] = []
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        found.append(node)
        if isinstance(node, COMPREHENSIONS):
            # A walrus inside binds outside.
            found += [inner.target for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr)]
        elif not isinstance(node, SCOPES):
            waiting += ast.iter_child_nodes(node)
    return found


def bound_names(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the names that the nodes of one scope bind, imports aside."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
            names.add(node.id)
        elif isinstance(node, (*FUNCTIONS, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
            names |= {node.name} if node.name else set()
        elif isinstance(node, ast.MatchMapping) and node.rest:
            names.add(node.rest)
    return names


def is_docstring(statement: ast.AST) -> bool:
    """Return whether a statement is a bare string."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str)


def _is_name(node: ast.expr, name: str) -> bool:
    return (isinstance(node, ast.Name) and node.id == name) or (isinstance(node, ast.Attribute) and node.attr == name)


def _is_program(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and ast.unparse(test) in ("__name__ == '__main__'", "'__main__' == __name__")
