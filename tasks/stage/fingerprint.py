"""Which code a stage's bytes depend on: a hash for every definition that its function reaches inside this repository.

Guarantees: comments, docstrings, formatting, moved lines, annotations and field descriptions change no hash; an edit to anything
reached by name through any number of imports does: functions, classes, constants, `.sql` files and templates, and modules named in a
string (a worker started as `python -m`). What is not reached changes nothing.
Where a name's use cannot be followed (a module passed around as a value, a file name put together at run time) everything it could
mean is taken in: the analysis may rerun too much, never too little. It costs one parse of each file reached, once per process.
The stage machinery itself (`tasks.stage`) is left out: it moves bytes, it does not make them.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tasks.stage.source_tree import ROOT, Alias, Module, aliases, is_docstring, module_path, read_module

MACHINERY = "tasks.stage"
DATA_SUFFIXES = (".sql", ".jinja", ".txt", ".json", ".yaml", ".html", ".css")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SQL = re.compile(
    r"""
    (?P<text> [eE]'(?:\\.|''|[^'\\])*' | '(?:''|[^'])*' | "(?:""|[^"])*" | \$\$.*?\$\$ )
    | (?: --[^\n]* | /\*.*?\*/ | \s )+
    """,
    re.DOTALL | re.VERBOSE,
)


def canonical(node: object) -> str:
    """A syntax tree as text that leaves out what cannot change behaviour; equal on every Python that parses it."""
    if isinstance(node, list):
        kept = [item for item in node if not (isinstance(item, ast.stmt) and is_docstring(item))]
        return "[" + ",".join(canonical(item) for item in kept) + "]"
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None and node.simple == -1:
        return canonical(ast.Assign(targets=[node.target], value=node.value))
    if not isinstance(node, ast.AST):
        return repr(node)
    skipped = {"type_comment", "kind", "ctx", "type_ignores"}
    if isinstance(node, FUNCTIONS):
        skipped |= {"returns"}
    if isinstance(node, ast.arg):
        skipped |= {"annotation"}
    parts = []
    for name, value in ast.iter_fields(node):
        if name in skipped or value is None or value == []:
            continue
        if isinstance(node, ast.Call) and name == "keywords" and getattr(node.func, "id", "") == "Field":
            value = [keyword for keyword in node.keywords if keyword.arg != "description"]
        parts.append(f"{name}={canonical(value)}")
    return f"{type(node).__name__}({','.join(parts)})"


def _mark_annotations(statement: ast.stmt) -> None:
    """Make annotated locals and constants print as plain assignments; class bodies keep theirs, since pydantic reads them."""
    if isinstance(statement, ast.AnnAssign):
        statement.simple = -1
    for function in (n for n in ast.walk(statement) if isinstance(n, FUNCTIONS)):
        for node in ast.walk(function):
            if isinstance(node, ast.AnnAssign):
                node.simple = -1


def file_digest(path: Path) -> str:
    """Hash of a data file beside the code; SQL is compared without comments and extra white space, its quoted texts as they are."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".sql":
        text = SQL.sub(lambda found: found["text"] or " ", text).strip()
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass
class _Walk:
    root: Path
    found: dict[str, str] = field(default_factory=dict)
    seen: set[tuple[str, str]] = field(default_factory=set)
    touched: set[str] = field(default_factory=set)

    def name(self, module: Module, name: str) -> None:
        if (module.name, name) in self.seen:
            return
        self.seen.add((module.name, name))
        self.touch(module)
        if name in module.definitions:
            self.statements(module, name, module.definitions[name])
        elif name in module.imports:
            self.alias(module.imports[name], whole=True)
        else:
            for star in module.stars:
                target = read_module(star, self.root)
                if target is not None:
                    self.name(target, name)

    def alias(self, alias: Alias, *, whole: bool) -> None:
        if alias.module == MACHINERY or alias.module.startswith(MACHINERY + "."):
            return
        if alias.attribute is not None:
            submodule = f"{alias.module}.{alias.attribute}"
            if module_path(submodule, self.root) is not None:
                self.alias(Alias(submodule, None), whole=whole)
                return
        module = read_module(alias.module, self.root)
        if module is None:
            return
        if alias.attribute is not None:
            self.name(module, alias.attribute)
        elif whole:
            self.whole(module)

    def whole(self, module: Module) -> None:
        self.touch(module)
        for name in (*module.definitions, *module.imports):
            self.name(module, name)

    def touch(self, module: Module) -> None:
        if module.name in self.touched:
            return
        self.touched.add(module.name)
        if module.effects:
            self.statements(module, "<import>", module.effects)
            self.conditional(module)
        for parent in _parents(module.name):
            package = read_module(parent, self.root)
            if package is not None:
                self.touch(package)

    def conditional(self, module: Module) -> None:
        """An import inside a top-level `try` or `if` may bind a name that any definition uses, so all of them are taken in."""
        for node in (n for effect in module.effects for n in ast.walk(effect) if isinstance(n, (ast.Import, ast.ImportFrom))):
            for alias in aliases(node, module.name, module.path.name == "__init__.py").values():
                self.alias(alias, whole=True)

    def statements(self, module: Module, name: str, statements: list[ast.stmt]) -> None:
        for statement in statements:
            _mark_annotations(statement)
        text = "\n".join(canonical(statement) for statement in statements)
        self.found[f"{module.relative}:{name}"] = hashlib.sha256(text.encode()).hexdigest()[:16]
        for statement in statements:
            self.references(module, statement)

    def references(self, module: Module, statement: ast.stmt) -> None:
        local: dict[str, Alias] = {}
        for node in ast.walk(statement):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                local |= aliases(node, module.name, module.path.name == "__init__.py")
        followed: set[int] = set()
        for node in ast.walk(statement):
            if isinstance(node, ast.Attribute):
                self.attribute(module, local, node, followed)
            elif isinstance(node, ast.Name) and id(node) not in followed:
                alias = local.get(node.id)
                if alias is not None:
                    self.alias(alias, whole=True)
                else:
                    self.name(module, node.id)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                self.string(module, node.value)

    def attribute(self, module: Module, local: dict[str, Alias], node: ast.Attribute, followed: set[int]) -> None:
        """Follow `package.module.name` to the one definition it means, when its head is an imported module."""
        chain, inner = [node.attr], node.value
        while isinstance(inner, ast.Attribute):
            chain.insert(0, inner.attr)
            inner = inner.value
        if not isinstance(inner, ast.Name):
            return
        alias = local.get(inner.id) or module.imports.get(inner.id)
        if alias is None or (alias.attribute is not None and module_path(f"{alias.module}.{alias.attribute}", self.root) is None):
            return
        dotted = alias.module if alias.attribute is None else f"{alias.module}.{alias.attribute}"
        while chain and module_path(f"{dotted}.{chain[0]}", self.root) is not None:
            dotted = f"{dotted}.{chain.pop(0)}"
        if chain and module_path(dotted, self.root) is not None:
            followed.add(id(inner))
            self.alias(Alias(dotted, chain[0]), whole=True)

    def string(self, module: Module, text: str) -> None:
        if module_path(text, self.root) is not None and "." in text:
            self.alias(Alias(text, None), whole=True)
            return
        if not text or len(text) > 200 or "\n" in text or text.startswith("/"):
            return
        for path in _named_files(module.path.parent, text):
            self.found[path.relative_to(self.root).as_posix()] = file_digest(path)


def _parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    for end in range(1, len(parts)):
        yield ".".join(parts[:end])


def _named_files(folder: Path, text: str) -> list[Path]:
    """Files that a string in code may name: itself, or, when it holds only a suffix or a folder, all that it may mean."""
    suffix = next((s for s in DATA_SUFFIXES if text.endswith(s)), None)
    try:
        target = folder / text
        if suffix and target.is_file():
            return [target.resolve()]
        if re.fullmatch(r"[\w/]+", text) and target.is_dir():
            return sorted(p for p in target.rglob("*") if p.suffix in DATA_SUFFIXES)
    except (OSError, ValueError):
        return []
    return sorted(folder.rglob(f"*{suffix}")) if suffix and re.fullmatch(r"[\w*./{}-]*", text) else []


def fingerprint(module_name: str, function_name: str, root: Path = ROOT) -> dict[str, str]:
    """Hashes of everything a function reaches, by `path:definition` or data file path.

    Raises LookupError when the module is not one of this repository's.
    """
    return dict(_fingerprint(module_name, function_name, root))


@cache
def _fingerprint(module_name: str, function_name: str, root: Path) -> dict[str, str]:
    module = read_module(module_name, root)
    if module is None:
        raise LookupError(f"{module_name} is not a module of this repository ({root}), so its code has no fingerprint.")
    walk = _Walk(root)
    walk.name(module, function_name)
    return dict(sorted(walk.found.items()))


def freeze(functions: Iterable[tuple[str, str]]) -> None:
    """Take the fingerprints of (module, function) pairs now: they then tell of the code that this process imported.

    Without it an edit made while a run is under way would enter the keys of its later stages, whose old code is in memory.
    """
    for module, function in functions:
        if module_path(module) is not None:
            _fingerprint(module, function, ROOT)


def edited_since(module_name: str, function_name: str, root: Path = ROOT) -> tuple[str, ...]:
    """What on disk is no longer as the function's fingerprint saw it; code that is imported from here on would be other code."""
    if module_path(module_name, root) is None:
        return ()
    seen = _fingerprint(module_name, function_name, root)
    read_module.cache_clear()
    found = _fingerprint.__wrapped__(module_name, function_name, root)
    return tuple(name for name in sorted({*seen, *found}) if seen.get(name) != found.get(name))
