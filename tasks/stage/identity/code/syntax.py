"""Write syntax trees as text that shows what code does, and nothing of how it is written.

Two texts are equal if and only if the trees are, ignoring comments, docstrings, formatting, line numbers and annotations that nothing can
read at run time. They are equal on every Python that parses the code, since empty fields are not written. Annotations are kept where
Python or pydantic reads them: in the bodies of classes and on functions whose decorators may look at them. With `described`, for code that
reads such things at run time, docstrings, all annotations and field descriptions are kept as well.
"""

from __future__ import annotations

import ast
import hashlib
import re

from tasks.stage.identity.code.source_tree import FUNCTIONS, Alias, Module, is_docstring

UNREAD = frozenset({"type_comment", "kind", "ctx", "type_ignores"})
READS_NO_ANNOTATION = frozenset({"functools", "contextlib", "abc", "typing", "torch", "dataclasses", "enum"})
BUILT_IN_DECORATORS = frozenset({"property", "staticmethod", "classmethod"})
MACHINERY = "tasks.stage"
SQL = re.compile(
    r"""
    (?P<text> [eE]'(?:\\.|''|[^'\\])*' | '(?:''|[^'])*' | "(?:""|[^"])*" | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$ )
    | (?P<blank> (?: --[^\n]* | /\*.*?\*/ | \s )+ )
    | (?P<part> \w+ | [(),;\[\]] | [^\w\s(),;\[\]'"$-]+ | . )
    """,
    re.DOTALL | re.VERBOSE,
)


def short_hash(text: str) -> str:
    """Return sixteen hex digits: enough to tell versions of one definition apart."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def data_hash(name: str, content: bytes) -> str:
    """Hash a data file beside the code; SQL without comments and white space, its quoted strings as they are."""
    if name.endswith(".sql"):
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            return hashlib.sha256(content).hexdigest()[:16]
        return short_hash("\0".join(found[0] for found in SQL.finditer(text) if found["blank"] is None))
    return hashlib.sha256(content).hexdigest()[:16]


def is_machinery(name: str) -> bool:
    """Return whether a module is part of the stage machinery, which moves bytes and does not make them."""
    return name == MACHINERY or name.startswith(f"{MACHINERY}.")


def origin_of(node: ast.expr, module: Module) -> Alias | None:
    """Return what the first name of `a.b.c(...)[d]` was imported as; None when it was not imported."""
    while isinstance(node, (ast.Attribute, ast.Call, ast.Subscript)):
        node = node.func if isinstance(node, ast.Call) else node.value
    found = module.imports.get(node.id, []) if isinstance(node, ast.Name) else []
    return found[0] if len(found) == 1 else None


def own_decorators(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, module: Module) -> list[ast.expr]:
    """Return the decorators except those of the stage machinery, whose arguments are in the key by themselves."""
    found = ((decorator, origin_of(decorator, module)) for decorator in function.decorator_list)
    return [decorator for decorator, origin in found if origin is None or not is_machinery(origin.module)]


def shows_annotations(function: ast.FunctionDef | ast.AsyncFunctionDef, module: Module) -> bool:
    """Return whether a decorator may read the function's annotations at run time."""
    return not all(_blind(decorator, module) for decorator in own_decorators(function, module))


def _blind(decorator: ast.expr, module: Module) -> bool:
    if isinstance(decorator, ast.Name) and decorator.id in BUILT_IN_DECORATORS and not module.binds(decorator.id):
        return True
    if isinstance(decorator, ast.Attribute) and decorator.attr in ("setter", "getter", "deleter"):
        return True
    origin = origin_of(decorator, module)
    return origin is not None and origin.module.split(".")[0] in READS_NO_ANNOTATION and not origin.attribute.startswith("singledispatch")


class Writer:
    """Writes the statements of one module."""

    def __init__(self, module: Module, *, described: bool) -> None:
        self.module, self.described = module, described

    def statements(self, statements: list[ast.stmt]) -> str:
        """Return top-level statements as text."""
        return "\n".join(self.write(statement, in_class=False) for statement in statements)

    def write(self, node: object, *, in_class: bool) -> str:
        """Return a node, a list of nodes or a plain value as text."""
        if isinstance(node, list):
            kept = node if self.described else [item for item in node if not (isinstance(item, ast.stmt) and is_docstring(item))]
            return "[" + ",".join(self.write(item, in_class=in_class) for item in kept) + "]"
        if not isinstance(node, ast.AST):
            return ascii(node)  # which characters `repr` escapes differs between versions of Python
        if isinstance(node, ast.AnnAssign) and not (in_class or self.described):
            if node.value is None:
                return f"Declare({self.write(node.target, in_class=False)})"
            node = ast.Assign(targets=[node.target], value=node.value)
        skipped = UNREAD
        if isinstance(node, FUNCTIONS) and not self.described and not shows_annotations(node, self.module):
            return self.fields(node, skipped | {"returns", "annotation"}, in_class=False)
        if isinstance(node, (*FUNCTIONS, ast.Lambda)):
            in_class = False
        if isinstance(node, ast.ClassDef):
            in_class = True
        return self.fields(node, skipped, in_class=in_class)

    def fields(self, node: ast.AST, skipped: frozenset[str], *, in_class: bool) -> str:
        """Return a node by its fields."""
        parts = []
        for name, value in ast.iter_fields(node):
            if name in skipped or value is None or value == []:
                continue
            if name == "decorator_list" and isinstance(node, (*FUNCTIONS, ast.ClassDef)):
                value = own_decorators(node, self.module)
            if name == "keywords" and isinstance(node, ast.Call) and not self.described and self._is_field(node.func):
                value = [keyword for keyword in node.keywords if keyword.arg != "description"]
            if name == "args" and isinstance(value, ast.arguments) and "annotation" in skipped:
                parts.append(f"args={self._arguments(value)}")
            else:
                parts.append(f"{name}={self.write(value, in_class=in_class)}")
        return f"{type(node).__name__}({','.join(parts)})"

    def _arguments(self, arguments: ast.arguments) -> str:
        bare = ast.arguments(
            posonlyargs=[ast.arg(arg=a.arg) for a in arguments.posonlyargs],
            args=[ast.arg(arg=a.arg) for a in arguments.args],
            vararg=arguments.vararg and ast.arg(arg=arguments.vararg.arg),
            kwonlyargs=[ast.arg(arg=a.arg) for a in arguments.kwonlyargs],
            kw_defaults=arguments.kw_defaults,
            kwarg=arguments.kwarg and ast.arg(arg=arguments.kwarg.arg),
            defaults=arguments.defaults,
        )
        return self.write(bare, in_class=False)

    def _is_field(self, function: ast.expr) -> bool:
        origin = origin_of(function, self.module)
        named = function.attr if isinstance(function, ast.Attribute) else origin.attribute if origin else ""
        return origin is not None and origin.module.split(".")[0] == "pydantic" and named == "Field"
