"""Find what a piece of code mentions: names of its module, attributes, words in its strings, and what it imports.

Scopes are Python's, so a local variable is never taken for the module's function of the same name, and nothing that may be the module's is
left out. Every word of a string counts, since a query, a template or `eval` may find a name by it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from itertools import pairwise

from tasks.stage.identity.tracing.code.facts import Chain
from tasks.stage.identity.tracing.code.normal import FUNCTIONS, Style, is_docstring

SCOPES = (*FUNCTIONS, ast.ClassDef, ast.Lambda)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
ANY = "*"  # a name that is put together while running
GETTERS = frozenset({"attrgetter", "methodcaller"})
WORD = re.compile(r"[^\W\d]\w*")
# Attributes that hold a text about our code, where a template, a format or a query asks for them: `{{ field.description }}`.
TEXT_ATTRIBUTES = ("__doc__", "model_json_schema", "json_schema", "description")
ASKED_TEXT = re.compile(rf"(?:[.\[{{@|'\"]\s*({'|'.join(TEXT_ATTRIBUTES)})\b|\b({'|'.join(TEXT_ATTRIBUTES)})\s*[}}\](|'\"])")
FIELDS, FIELD_TYPES = "model_fields", "model_fields."
"""pydantic's table of a model's fields; the same where more of it is read than names and defaults."""
Scopes = tuple[frozenset[str], ...]


class Reader:
    """Reads code of one module. `package`: the dotted name against which relative imports are resolved."""

    def __init__(self, package: str, style: Style) -> None:
        """Read nothing yet."""
        self.package, self.style = package, style
        self.names: set[str] = set()
        self.types: set[str] = set()
        self.attributes: set[str] = set()
        self.words: set[str] = set()
        self.values: set[str] = set()
        self.imports: set[Chain] = set()
        self._field_names: set[int] = set()

    def read(self, nodes: Iterable[ast.AST | None], scopes: Scopes = ()) -> None:
        """Read nodes. `scopes`: names that the functions around them bind."""
        for node in nodes:
            if node is not None and not is_docstring(node):
                self._read(node, scopes)

    def _read(self, node: ast.AST, scopes: Scopes) -> None:
        self._field_names.update(map(id, _read_for_names(node)))
        if isinstance(node, FUNCTIONS):
            self.header(node, scopes)
            self.body(node, scopes)
        elif isinstance(node, ast.Lambda):
            self.read([*node.args.defaults, *node.args.kw_defaults], scopes)
            self.read([node.body], (*scopes, arguments_of(node.args) | bound_names(own_nodes([node.body]))))
        elif isinstance(node, ast.ClassDef):
            self.read([*self.style.decorators(node), *node.bases, *node.keywords], scopes)
            self.read(node.body, scopes)
        elif isinstance(node, COMPREHENSIONS):
            targets = bound_names(own_nodes([generator.target for generator in node.generators]))
            self.read([node.generators[0].iter], scopes)
            self.read([part for part in ast.iter_child_nodes(node)], (*scopes, targets))
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            self.imports |= set(imported(node, self.package))
        elif isinstance(node, ast.Name):
            self._name(node, scopes)
        elif isinstance(node, ast.Attribute):
            self._attribute(node, scopes)
        elif isinstance(node, ast.Constant):
            self._text(node.value)
        elif isinstance(node, ast.Call):
            self._call(node, scopes)
        elif isinstance(node, ast.AnnAssign):
            self.read([node.target, node.value], scopes)
        elif isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]:
            return  # who imports by a star, or asks for these names while running, is followed there
        else:
            if isinstance(node, ast.MatchClass):
                self.attributes |= set(node.kwd_attrs)
            self.read(ast.iter_child_nodes(node), scopes)

    def header(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scopes: Scopes = ()) -> None:
        """Read what runs when a function is defined."""
        self.read([*self.style.decorators(node), *node.args.defaults, *node.args.kw_defaults], scopes)
        if self.style.reads_annotations(node):
            self.read(annotations_of(node), scopes)

    def body(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scopes: Scopes = ()) -> None:
        """Read what runs when a function is called."""
        nodes = own_nodes(node.body)
        elsewhere = {name for inner in nodes if isinstance(inner, (ast.Global, ast.Nonlocal)) for name in inner.names}
        aliased = {local for inner in nodes for local, _, _ in aliases(inner, self.package)}
        self.names |= {name for inner in nodes if isinstance(inner, ast.Global) for name in inner.names}
        shared = {name for inner in nodes if isinstance(inner, ast.Global) for name in inner.names}
        own = (bound_names(nodes) | aliased | arguments_of(node.args)) - elsewhere
        self.read(node.body, (*(scope - shared for scope in scopes), frozenset(own)))

    def field_type(self, node: ast.expr) -> None:
        """Read the annotation of a field. What it names is a type, not a value; but what stands beside other types in a union is tried."""
        names, self.names = self.names, set()
        self.read([node])
        found, self.names = self.names, names
        target = self.names if any(map(_tries, ast.walk(node))) else self.types
        target |= found

    def _name(self, node: ast.Name, scopes: Scopes, *, called: bool = False) -> None:
        if not isinstance(node.ctx, ast.Store) and not any(node.id in scope for scope in scopes):
            self.names.add(node.id)
            if not called:
                self.values.add(node.id)
                self.attributes |= {ANY} if node.id in self.style.getters else set()

    def _attribute(self, node: ast.Attribute, scopes: Scopes, *, called: bool = False, bare: bool = False) -> None:
        # `model.eval()` is given no text to evaluate: a word that names a method of ours, and nothing that evaluates.
        (self.words if bare and node.attr == "eval" else self.attributes).add(node.attr)
        self._field_names.update(map(id, _read_for_names(node)))  # a call comes here without `_read`
        if node.attr == FIELDS and id(node) not in self._field_names:
            self.attributes.add(FIELD_TYPES)
        inner = node.value
        if not called:
            self.values.add(f".{node.attr}")
            self.attributes |= {ANY} if node.attr in GETTERS else set()
        # A function of which a dunder is read is used as a value.
        owner = inner.attr if isinstance(inner, ast.Attribute) else inner.id if isinstance(inner, ast.Name) else ""
        if owner and node.attr.startswith("__"):
            self.values.add(f".{owner}")
        if isinstance(inner, ast.Name):
            self._name(inner, scopes, called=True)
        elif isinstance(inner, ast.Attribute):
            self._attribute(inner, scopes, called=True)
        else:
            self.read([inner], scopes)

    def _text(self, value: object) -> None:
        if isinstance(value, (str, bytes)):
            text = value.decode("latin-1") if isinstance(value, bytes) else value
            self.words |= set(WORD.findall(text))
            self.attributes |= {before or after for before, after in ASKED_TEXT.findall(text)}
            self.values |= {f".{name}" for name, asked in pairwise(text.split(".")) if name and asked.startswith("__")}

    def _call(self, node: ast.Call, scopes: Scopes) -> None:
        function = node.func
        if isinstance(function, ast.Name):
            self._name(function, scopes, called=True)
        elif isinstance(function, ast.Attribute):
            self._attribute(function, scopes, called=True, bare=not (node.args or node.keywords))
        else:
            self.read([function], scopes)
        arguments, keywords = self.style.counted_arguments(node)
        self.read([*arguments, *keywords], scopes)
        name = function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
        getter = name in (GETTERS if isinstance(function, ast.Attribute) else self.style.getters)
        if getter and not all(isinstance(argument, ast.Constant) for argument in node.args):
            self.attributes.add(ANY)
        # Fields of a text that is not written here may ask for any attribute.
        text = function.value if isinstance(function, ast.Attribute) and function.attr in ("format", "format_map", "vformat") else None
        text = function if isinstance(function, ast.Name) and function.id == "format" else text
        local = isinstance(text, ast.Name) and any(text.id in scope for scope in scopes)
        if text is not None and (local or not isinstance(text, (ast.Constant, ast.Name, ast.Attribute))):
            self.attributes.add(ANY)


def _read_for_names(node: ast.AST) -> Iterable[ast.AST]:
    """Return parts of a node of which it reads only names, or a default or an extra by its name: a table of fields tells no type there."""
    if isinstance(node, ast.Compare):
        return [side for test, side in zip(node.ops, node.comparators, strict=True) if isinstance(test, (ast.In, ast.NotIn))]
    if isinstance(node, ast.For):
        return [node.iter]
    if isinstance(node, COMPREHENSIONS):
        return [generator.iter for generator in node.generators]
    if isinstance(node, ast.Starred):
        return [node.value]
    if isinstance(node, ast.Attribute) and node.attr == "keys":
        return [node.value]
    if isinstance(node, ast.Attribute) and node.attr in ("default", "json_schema_extra") and isinstance(node.value, ast.Subscript):
        return [node.value.value]
    return []


def _tries(node: ast.AST) -> bool:
    """Return whether a part of an annotation is text, or a union of more than a type and None."""
    if isinstance(node, ast.BinOp):
        return not any(isinstance(side, ast.Constant) and side.value is None for side in (node.left, node.right))
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str)
    return isinstance(node, (ast.Name, ast.Attribute)) and (node.id if isinstance(node, ast.Name) else node.attr) == "Union"


def annotations_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.expr]:
    """Return a function's annotations in their order."""
    every = (*node.args.posonlyargs, *node.args.args, node.args.vararg, *node.args.kwonlyargs, node.args.kwarg)
    return [found for found in (*(argument.annotation for argument in every if argument), node.returns) if found is not None]


def imported(node: ast.Import | ast.ImportFrom, package: str) -> list[Chain]:
    """Return what an import statement executes: modules, or a module and what may be one inside it."""
    if isinstance(node, ast.Import):
        return [(alias.name,) for alias in node.names]
    module = absolute(node, package)
    return [(module,) if alias.name == "*" else (module, alias.name) for alias in node.names]


def absolute(node: ast.ImportFrom, package: str) -> str:
    """Return the full name of the module that a `from` import names."""
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    above = parts[: len(parts) - node.level + 1]
    return ".".join([*above, node.module] if node.module else above)


def aliases(node: ast.AST, package: str) -> list[tuple[str, str, str]]:
    """Return the local names that an import binds, with the module and its attribute that they mean; a star import has the name `*`."""
    if isinstance(node, ast.Import):
        return [(a.asname or a.name.split(".")[0], a.name if a.asname else a.name.split(".")[0], "") for a in node.names]
    if isinstance(node, ast.ImportFrom):
        module = absolute(node, package)
        return [("*", module, "*") if a.name == "*" else (a.asname or a.name, module, a.name) for a in node.names]
    return []


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
        elif isinstance(node, FUNCTIONS):
            waiting += [*node.decorator_list, *node.args.defaults, *(d for d in node.args.kw_defaults if d)]
        elif isinstance(node, ast.ClassDef):
            waiting += [*node.decorator_list, *node.bases, *node.keywords]
    return found


def bound_names(nodes: Iterable[ast.AST]) -> frozenset[str]:
    """Return the names that the nodes of one scope bind, imports aside."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
            names.add(node.id)
        elif isinstance(node, (*FUNCTIONS, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
            names |= {node.name} if node.name else set()
        elif isinstance(node, ast.MatchMapping) and node.rest:
            names.add(node.rest)
    return frozenset(names)


def arguments_of(arguments: ast.arguments) -> frozenset[str]:
    """Return the names of a function's parameters."""
    every = (*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg)
    return frozenset(argument.arg for argument in every if argument)
