"""Compile a module so that each of its definitions marks itself when it is entered.

One statement is put at the start of every function that is not inside another: `__folio__[number] = 1`. Inner functions and lambdas belong
to the definition around them. The name is found among the module's builtins, so nothing shows in the module itself.
"""

from __future__ import annotations

import ast
import hashlib
import marshal
import sys
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from types import CodeType

from tasks.stage.identity.tracing.source import parse
from tasks.stage.system.atomic_files import keep, kept

MARK = "__folio__"
VERSION = 1


def instrumented(content: bytes, path: str, filename: str, cache: Path | None) -> tuple[CodeType, list[str]]:
    """Return the compiled module and the qualified names of its definitions, in the order of their marks.

    `cache`: folder that keeps compiled code by the hash of its source.
    """
    key = hashlib.sha256(b"\0".join([content, filename.encode(), MAGIC_NUMBER, str(VERSION).encode(), sys.version.encode()])).hexdigest()
    file = cache / f"{key}.code" if cache is not None else None
    if file is not None and (payload := kept(file)) is not None:
        code, names = marshal.loads(payload)
        return code, names
    tree = parse(content, path)
    names = []
    _mark(tree.body, "", names)
    code = compile(tree, filename, "exec", dont_inherit=True)
    if file is not None:
        keep(file, marshal.dumps((code, names)))
    return code, names


def _mark(body: list[ast.stmt], prefix: str, names: list[str]) -> None:
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            _insert(node, len(names))
            names.append(f"{prefix}{node.name}")
        elif isinstance(node, ast.ClassDef):
            _mark(node.body, f"{prefix}{node.name}.", names)
        else:
            for inner in _blocks(node):
                _mark(inner, prefix, names)


def _blocks(node: ast.stmt) -> list[list[ast.stmt]]:
    """Return the blocks of a compound statement, such as `if` or `try`."""
    found = [getattr(node, name) for name in ("body", "orelse", "finalbody") if getattr(node, name, None)]
    found += [handler.body for handler in getattr(node, "handlers", [])]
    return [*found, *(case.body for case in getattr(node, "cases", []))]


def _insert(node: ast.FunctionDef | ast.AsyncFunctionDef, number: int) -> None:
    first = node.body[0]
    after = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    target = ast.Subscript(ast.Name(MARK, ast.Load()), ast.Constant(number), ast.Store())
    mark = ast.fix_missing_locations(ast.copy_location(ast.Assign([target], ast.Constant(1)), node))
    for inner in ast.walk(mark):
        if hasattr(inner, "end_lineno"):
            inner.end_lineno, inner.end_col_offset = node.lineno, node.col_offset  # type: ignore[attr-defined]
    node.body.insert(1 if after else 0, mark)
