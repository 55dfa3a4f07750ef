"""Find what a piece of code mentions: names of its module, its own imports, attributes, and strings that may name something.

Scopes are Python's, so a local variable is never mistaken for the module's function of the same name, and nothing that may be the
module's is left out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from tasks.stage.identity.tracing.code.facts import Chain
from tasks.stage.identity.tracing.code.normal import FUNCTIONS, Style, is_docstring
from tasks.stage.identity.tracing.source import parse

SCOPES = (*FUNCTIONS, ast.ClassDef, ast.Lambda)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
LONGEST = 120
ANY = "*"  # a name that is put together while running
GETTERS = frozenset({"attrgetter", "methodcaller"})
# These take types, which may be written as text.
TYPED = frozenset({"ForwardRef", "TypeAdapter", "NewType", "TypeVar", "create_model"})


@dataclass
class Found:
    """What was found so far; see `Piece`."""

    names: set[Chain] = field(default_factory=set)
    far: set[Chain] = field(default_factory=set)
    imports: set[Chain] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    values: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    types: set[Chain] = field(default_factory=set)


@dataclass
class _Scope:
    is_class: bool = False
    bound: set[str] = field(default_factory=set)
    shared: set[str] = field(default_factory=set)
    aliases: dict[str, list[Chain]] = field(default_factory=dict)


class Reader:
    """Reads code of one module. `package`: the dotted name against which relative imports are resolved."""

    def __init__(self, package: str, style: Style) -> None:
        """Read nothing yet."""
        self.package, self.style, self.found = package, style, Found()

    def read(self, nodes: Iterable[ast.AST | None], scopes: list[_Scope] | None = None) -> Found:
        """Read nodes that stand at the top level of the module; return all that was found."""
        for node in nodes:
            if node is not None:
                self._read(node, scopes or [], called=False)
        return self.found

    def _read(self, node: ast.AST, scopes: list[_Scope], *, called: bool) -> None:
        if is_docstring(node):
            return
        if isinstance(node, FUNCTIONS):
            self.header(node, scopes)
            self.body(node, scopes)
        elif isinstance(node, ast.Lambda):
            self.read([*node.args.defaults, *node.args.kw_defaults], scopes)
            self.read([node.body], [*scopes, _Scope(bound=arguments_of(node.args) | bound_names(own_nodes([node.body])))])
        elif isinstance(node, ast.ClassDef):
            self.read([*self.style.decorators(node), *node.bases, *node.keywords, *getattr(node, "type_params", [])], scopes)
            self._block(node.body, scopes, _Scope(is_class=True))
        elif isinstance(node, COMPREHENSIONS):
            self._comprehension(node, scopes)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            self.found.imports |= set(imported(node, self.package))
        elif isinstance(node, ast.AnnAssign):
            self.read([node.target, node.value], scopes)
            if scopes and scopes[-1].is_class:
                self.annotation(node.annotation, scopes)
        elif isinstance(node, (ast.Name, ast.Attribute)):
            self._chain(node, scopes, called=called)
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                self.found.words |= set(words(node.value))
                self._spoken(*node.value.split("."))
        elif isinstance(node, ast.Call):
            self._read(node.func, scopes, called=True)
            self.read([*node.args, *node.keywords], scopes)
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if (name in GETTERS and not _is_written(node.args)) or (name == "format" and self._is_put_together(node.func, scopes)):
                self.found.attributes.add(ANY)
            if name in TYPED:
                for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
                    self.annotation(argument, scopes)
        elif isinstance(node, (ast.For, ast.AsyncFor)):
            self._iterated(node.iter, scopes)
            self.read([node.target, *node.body, *node.orelse], scopes)
        elif isinstance(node, ast.Compare):
            self.read([node.left], scopes)
            for operator, side in zip(node.ops, node.comparators, strict=True):
                if isinstance(operator, (ast.In, ast.NotIn)):
                    self._iterated(side, scopes)
                else:
                    self.read([side], scopes)
        elif isinstance(node, ast.Subscript):
            self.read([node.value, node.slice], scopes)
            if _is_type(node.slice):
                self.annotation(node.slice, scopes)
        else:
            if isinstance(node, ast.MatchClass):
                self.found.attributes |= set(node.kwd_attrs)
            self.read(ast.iter_child_nodes(node), scopes)

    def _is_put_together(self, function: ast.expr, scopes: list[_Scope]) -> bool:
        """Return whether the text that is formatted is neither written here nor a value of the module, whose words count."""
        text = function.value if isinstance(function, ast.Attribute) else function
        local = isinstance(text, ast.Name) and any(text.id in scope.bound or text.id in scope.aliases for scope in scopes)
        return local or not isinstance(text, (ast.Constant, ast.Name, ast.Attribute))

    def header(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scopes: list[_Scope] | None = None) -> None:
        """Read what runs when a function is defined."""
        scopes = scopes or []
        self.read([*self.style.decorators(node), *node.args.defaults, *node.args.kw_defaults], scopes)
        if self.style.reads_annotations(node):
            self.notes(node, scopes)

    def notes(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scopes: list[_Scope] | None = None) -> None:
        """Read a function's annotations."""
        every = (*node.args.posonlyargs, *node.args.args, node.args.vararg, *node.args.kwonlyargs, node.args.kwarg)
        for annotation in (*(argument.annotation for argument in every if argument), node.returns):
            self.annotation(annotation, scopes or [])

    def body(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scopes: list[_Scope] | None = None) -> None:
        """Read what runs when a function is called."""
        self._block(node.body, scopes or [], _Scope(bound=arguments_of(node.args)))

    def _block(self, body: list[ast.stmt], scopes: list[_Scope], scope: _Scope) -> None:
        nodes, elsewhere = own_nodes(body), set[str]()
        for node in nodes:
            if isinstance(node, ast.Global):
                scope.shared |= set(node.names)
            elif isinstance(node, ast.Nonlocal):
                elsewhere |= set(node.names)
            else:
                for local, module, attribute in aliases(node, self.package):
                    scope.aliases.setdefault(local, []).append((module, attribute) if attribute else (module,))
        scope.bound |= bound_names(nodes) - scope.shared - elsewhere
        self.read(body, [*scopes, scope])

    def _comprehension(self, node: ast.AST, scopes: list[_Scope]) -> None:
        generators: list[ast.comprehension] = getattr(node, "generators", [])
        self._iterated(generators[0].iter, scopes)
        inner = [*scopes, _Scope(bound=bound_names(own_nodes([generator.target for generator in generators])))]
        for number, generator in enumerate(generators):
            if number:
                self._iterated(generator.iter, inner)
            self.read(generator.ifs, inner)
            self.read([part for part in ast.walk(generator.target) if isinstance(part, (ast.Attribute, ast.Subscript))], inner)
        self.read([getattr(node, name, None) for name in ("elt", "key", "value")], inner)

    def field_type(self, node: ast.expr) -> None:
        """Read the annotation of a field. What it names is a type, not a value; but what stands beside other types in a union is tried."""
        names, self.found.names = self.found.names, set()
        self.annotation(node)
        found, self.found.names = self.found.names, names
        if any(isinstance(part, ast.Constant) and isinstance(part.value, str) for part in ast.walk(node)) or any(
            map(_tries, ast.walk(node))
        ):
            self.found.names |= found
        else:
            self.found.types |= found

    def annotation(self, node: ast.AST | None, scopes: list[_Scope] | None = None) -> None:
        """Read an annotation, in which strings are code."""
        scopes = scopes or []
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                body = parse(node.value.strip(), "<annotation>").body
            except (SyntaxError, ValueError):
                return
            node = body[0].value if len(body) == 1 and isinstance(body[0], ast.Expr) else None
        if isinstance(node, ast.Subscript):
            self.annotation(node.value, scopes)
            self.annotation(node.slice, scopes)
        elif isinstance(node, (ast.Tuple, ast.BinOp, ast.List)):
            for part in ast.iter_child_nodes(node):
                self.annotation(part, scopes)
        elif node is not None:
            self.read([node], scopes)

    def _chain(self, node: ast.Name | ast.Attribute, scopes: list[_Scope], *, called: bool) -> None:
        attributes: list[str] = []
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            attributes.insert(0, inner.attr)
            inner = inner.value
        if attributes and not called:
            self.found.values.add(f".{attributes[-1]}")
        self._spoken(inner.id if isinstance(inner, ast.Name) else "", *attributes)
        if isinstance(inner, ast.Name):
            self._name(inner.id, tuple(attributes), scopes, called=called)
        elif attributes == ["default"] and isinstance(inner, ast.Subscript) and (model := _whose_fields(inner.value)):
            self.found.attributes.add("default")
            self.read([model, inner.slice], scopes)
        else:
            self.found.attributes |= set(attributes)
            self.read([inner], scopes)

    def _spoken(self, *names: str) -> None:
        """Count a name as used as a value where one of its dunders is read."""
        self.found.values |= {f".{name}" for name, asked in pairwise(names) if name and asked.startswith("__")}

    def _iterated(self, node: ast.expr, scopes: list[_Scope]) -> None:
        """Read what is iterated over or searched. Of a model's fields that asks for names alone."""
        self.read([_whose_fields(node) or node], scopes)

    def _name(self, name: str, chain: Chain, scopes: list[_Scope], *, called: bool) -> None:
        for scope in reversed(scopes):
            if scope.is_class and scope is not scopes[-1]:
                continue
            if name in scope.shared:
                break
            self.found.far |= {(*alias, *chain) for alias in scope.aliases.get(name, [])}
            # A name of a class body may be the module's until the body gives it a value.
            if not scope.is_class and (name in scope.bound or name in scope.aliases):
                self.found.attributes |= set(chain)
                return
        self.found.names.add((name, *chain))
        if not called and not chain:
            self.found.values.add(name)


def _whose_fields(node: ast.expr) -> ast.expr | None:
    """Return the model whose table of fields this is. Reading its names and defaults does not read the fields' types."""
    return node.value if isinstance(node, ast.Attribute) and node.attr == "model_fields" else None


def _tries(node: ast.AST) -> bool:
    """Return whether a part of an annotation is a union of more than a type and None."""
    if isinstance(node, ast.BinOp):
        return not any(isinstance(side, ast.Constant) and side.value is None for side in (node.left, node.right))
    return isinstance(node, (ast.Name, ast.Attribute)) and (node.id if isinstance(node, ast.Name) else node.attr) == "Union"


def _is_written(arguments: list[ast.expr]) -> bool:
    return all(isinstance(argument, ast.Constant) for argument in arguments)


def _is_type(node: ast.expr) -> bool:
    """Return whether text in a subscript may be the name of a type."""
    parts = node.elts if isinstance(node, ast.Tuple) else [node]
    return any(isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value[:1].isupper() for part in parts)


def words(text: str) -> Iterator[str]:
    """Yield what a string may name: itself and its parts, if it is a name or a path of names, and attributes in a format string."""
    if not text or len(text) > LONGEST:
        return
    parts = text.replace(":", ".").split(".")
    if all(part.isidentifier() for part in parts):
        yield from parts
    elif "{" in text:
        for field_name in text.split("{")[1:]:
            yield from (part for part in field_name.partition("}")[0].split(".")[1:] if part.isidentifier())


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


def arguments_of(arguments: ast.arguments) -> set[str]:
    """Return the names of a function's parameters."""
    every = (*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg)
    return {argument.arg for argument in every if argument}
