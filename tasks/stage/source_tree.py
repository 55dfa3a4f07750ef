"""The repository's own Python modules as syntax trees, ready to be asked what a name reaches.

Guarantees: a module is parsed once per process; only modules of the four rooms are known; nothing is imported or executed.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("flows", "tasks", "model", "data")


@dataclass(frozen=True)
class Alias:
    """A name bound by an import: `module` itself, or `attribute` of it."""

    module: str
    attribute: str | None


@dataclass
class Module:
    """One source file: what it defines, what it imports, and what it does merely by being imported."""

    name: str
    path: Path
    relative: str
    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, Alias] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    effects: list[ast.stmt] = field(default_factory=list)


def module_path(name: str, root: Path = ROOT) -> Path | None:
    """The file of a module of this repository, or None when the name is not ours."""
    if name.split(".")[0] not in ROOMS:
        return None
    base = root.joinpath(*name.split("."))
    for candidate in (base / "__init__.py", base.with_suffix(".py")):
        if candidate.is_file():
            return candidate
    return None


def bound_names(statement: ast.stmt) -> list[str]:
    """Names that a top-level statement gives a value to."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [statement.name]
    if isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
    return []


def aliases(statement: ast.Import | ast.ImportFrom, module: str, is_package: bool) -> dict[str, Alias]:
    """Local names that an import statement binds; a star is given as the name `*`."""
    if isinstance(statement, ast.Import):
        return {(a.asname or a.name.split(".")[0]): Alias(a.name if a.asname else a.name.split(".")[0], None) for a in statement.names}
    source = statement.module or ""
    if statement.level:
        parts = module.split(".") if is_package else module.split(".")[:-1]
        parts = parts[: len(parts) - (statement.level - 1)]
        source = ".".join([*parts, source] if source else parts)
    return {(a.asname or a.name): Alias(source, a.name) for a in statement.names}


def is_docstring(statement: ast.stmt) -> bool:
    """Whether a statement is a bare string."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str)


def _is_type_checking(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.dump(statement.test)


@cache
def read_module(name: str, root: Path = ROOT) -> Module | None:
    """Parse a module of this repository; None when it is not one. Raises SyntaxError as Python would."""
    path = module_path(name, root)
    if path is None:
        return None
    module = Module(name, path, path.relative_to(root).as_posix())
    package = path.name == "__init__.py"
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        if is_docstring(statement) or _is_type_checking(statement):
            continue
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            for local, alias in aliases(statement, name, package).items():
                if local == "*":
                    module.stars.append(alias.module)
                else:
                    module.imports[local] = alias
            continue
        names = bound_names(statement)
        for bound in names:
            module.definitions.setdefault(bound, []).append(statement)
        if not names:
            module.effects.append(statement)
    return module
