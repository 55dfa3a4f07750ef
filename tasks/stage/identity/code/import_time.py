"""Find what a module does when it is imported, beyond binding names.

Reported is whatever may change state that other code sees: calls and statements at the top level, and decorators and base classes that may
keep what they are given (a registry, a plugin list). Creating a value by means known to leave no trace (built-in types, `re.compile`, a
pydantic class, a schema) is not reported; whatever is not known to be harmless is.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from tasks.stage.identity.code.source_tree import FUNCTIONS, Module, Tree
from tasks.stage.identity.code.syntax import is_machinery, origin_of, own_decorators

HARMLESS = re.compile(
    "__future__|abc|base64|collections|contextlib|contextvars|dataclasses|datetime|decimal|enum|fractions|functools|hashlib|itertools|json|"
    "logging|math|numpy|operator|os|pathlib|pyarrow|pydantic|re|string|textwrap|threading|types|typing|typing_extensions|uuid"
)
HARMLESS_NAMES = frozenset({"torch.no_grad", "torch.inference_mode", "torch.nn.Module", "torch.device"})
ACTING_BUILT_INS = frozenset({"exec", "eval", "setattr", "delattr", "__import__", "globals", "vars", "print", "open", "input"})
MAKING = frozenset({"__new__", "__init__", "__post_init__", "model_post_init", "__set_name__", "__call__"})
PLAIN_METHODS = frozenset({"join", "split", "items", "keys", "values", "lower", "upper", "strip", "format", "encode", "copy", "union"})


def acts_at_import(tree: Tree, module: Module) -> list[str]:
    """Return the names whose definitions may do more at import than define them."""
    return sorted(name for name, statements in module.definitions.items() if any(_acts_at_import(tree, module, s) for s in statements))


def order_matters(module: Module) -> bool:
    """Return whether the order of a module's statements can matter: some act, or rebind a name."""
    return bool(module.effects) or any(len(statements) > 1 for statements in module.definitions.values())


def order(module: Module, acts: list[str]) -> list[str]:
    """Return a module's statements by the names they define, except those whose place does not matter."""
    lines = []
    for statement in module.body:
        names = [name for name, statements in module.definitions.items() if statement in statements]
        if not names and not isinstance(statement, (ast.Import, ast.ImportFrom)):
            lines.append("(effect)")
        elif any(name in acts or len(module.definitions[name]) > 1 for name in names) or not _order_free(statement):
            lines.append(" ".join(names))
    return lines


def _order_free(statement: ast.stmt) -> bool:
    """Return whether the place of a statement does not matter: a plain function, a literal, or an import."""
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return True
    if isinstance(statement, FUNCTIONS):
        defaults = [node for default in statement.args.defaults for node in ast.walk(default)]
        return not statement.decorator_list and not any(isinstance(node, (ast.Name, ast.Call)) for node in defaults)
    return isinstance(statement, (ast.Assign, ast.AnnAssign)) and not any(
        isinstance(node, (ast.Name, ast.Call)) and not isinstance(getattr(node, "ctx", None), ast.Store)
        for node in ast.walk(statement.value or ast.Pass())
    )


def _acts_at_import(tree: Tree, module: Module, statement: ast.stmt) -> bool:
    if isinstance(statement, FUNCTIONS):
        defaults = [default for default in (*statement.args.defaults, *statement.args.kw_defaults) if default is not None]
        return any(not _harmless(tree, module, d) for d in own_decorators(statement, module)) or _calls(tree, module, defaults)
    if isinstance(statement, ast.ClassDef):
        registered = any(not _harmless(tree, module, decorator) for decorator in own_decorators(statement, module))
        configured = any(keyword.arg not in ("frozen", "extra", "total", "slots") for keyword in statement.keywords)
        hooked = any(_runs_code_when_inherited(tree, module, base, set()) for base in statement.bases)
        return registered or configured or hooked or any(_acts_at_import(tree, module, inner) for inner in statement.body)
    if isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
        return _calls(tree, module, [statement.value] if statement.value else [])
    if isinstance(statement, ast.Expr):
        return _calls(tree, module, [statement.value])
    return not isinstance(statement, ast.Pass)


def _calls(tree: Tree, module: Module, values: Iterable[ast.AST]) -> bool:
    return any(isinstance(node, ast.Call) and not _harmless(tree, module, node.func) for value in values for node in ast.walk(value))


def _harmless(tree: Tree, module: Module, called: ast.expr) -> bool:
    """Return whether calling this leaves no trace."""
    if isinstance(called, ast.Call):
        return _harmless(tree, module, called.func)
    origin = origin_of(called, module)
    if origin is not None:
        imported = f"{origin.module}.{origin.attribute}" if origin.attribute else origin.module
        full = ".".join([imported, *ast.unparse(called).partition("(")[0].split(".")[1:]])
        known = HARMLESS.fullmatch(full.split(".")[0]) and not full.startswith("numpy.random")
        return full in HARMLESS_NAMES or bool(known) or _plain(tree, tree.module(origin.module), origin.attribute)
    if isinstance(called, ast.Name):
        return _plain(tree, module, called.id) if module.binds(called.id) else called.id not in ACTING_BUILT_INS
    if isinstance(called, ast.Attribute):
        inner = called.value
        plain = called.attr in PLAIN_METHODS or called.attr in ("setter", "getter", "deleter")
        built_in = isinstance(inner, ast.Name) and not module.binds(inner.id)
        return plain or built_in or not isinstance(inner, (ast.Name, ast.Attribute, ast.Subscript))
    return False


def _plain(tree: Tree, module: Module | None, name: str) -> bool:
    """Return whether this is a class of ours whose construction runs no code of ours."""
    statements = module.definitions.get(name, []) if module else []
    if module is None or len(statements) != 1 or not isinstance(statements[0], ast.ClassDef):
        return False
    made = [inner for inner in statements[0].body if isinstance(inner, FUNCTIONS) and (inner.decorator_list or inner.name in MAKING)]
    return not made and not any(
        _runs_code_when_inherited(tree, module, base, set()) or not _plain_base(tree, module, base) for base in statements[0].bases
    )


def _plain_base(tree: Tree, module: Module, base: ast.expr) -> bool:
    origin = origin_of(base, module)
    if origin is not None and tree.module(origin.module) is not None:
        return _plain(tree, tree.module(origin.module), origin.attribute)
    return origin is not None or (isinstance(base, ast.Name) and (not module.binds(base.id) or _plain(tree, module, base.id)))


def _runs_code_when_inherited(tree: Tree, module: Module, base: ast.expr, seen: set[tuple[str, str]]) -> bool:
    """Return whether inheriting from a base class may run code."""
    if isinstance(base, ast.Subscript):
        return _runs_code_when_inherited(tree, module, base.value, seen)
    origin = origin_of(base, module)
    if origin is not None:
        if is_machinery(origin.module):
            return False
        other = tree.module(origin.module)
        if other is None:
            return not _harmless(tree, module, base)
        return _class_runs_code_when_inherited(tree, other, origin.attribute, seen)
    if isinstance(base, ast.Name):
        return module.binds(base.id) and _class_runs_code_when_inherited(tree, module, base.id, seen)
    return True


def _class_runs_code_when_inherited(tree: Tree, module: Module, name: str, seen: set[tuple[str, str]]) -> bool:
    if (module.name, name) in seen:
        return False
    seen.add((module.name, name))
    if name in module.imports:
        return any(_runs_code_when_inherited(tree, module, ast.Name(name, ast.Load()), seen) for _ in module.imports[name])
    statements = module.definitions.get(name, [])
    if len(statements) != 1 or not isinstance(statements[0], ast.ClassDef):
        return True
    defined = statements[0]
    hook = any(isinstance(inner, FUNCTIONS) and inner.name == "__init_subclass__" for inner in defined.body)
    hook = hook or any(keyword.arg == "metaclass" for keyword in defined.keywords)
    return hook or any(_runs_code_when_inherited(tree, module, base, seen) for base in defined.bases)
