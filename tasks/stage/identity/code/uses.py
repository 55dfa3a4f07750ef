"""Find what a piece of code uses from outside itself: names of its module, imports of its own, strings, and signs of reflection.

Scopes are Python's, so a local variable is never mistaken for the module's function of the same name, and nothing that may be the module's
is left out. Annotations count where they can be read at run time, as in `syntax`, or when asked for.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field

from tasks.stage.identity.code.source_tree import (
    COMPREHENSIONS,
    FUNCTIONS,
    Alias,
    Module,
    aliases,
    bound_names,
    is_docstring,
    own_nodes,
    syntax,
)
from tasks.stage.identity.code.syntax import own_decorators, shows_annotations

IMPORTERS = frozenset({"import_module", "__import__", "run_module", "run_path", "find_spec", "resolve_name", "spec_from_file_location"})
JOINERS = frozenset({"joinpath", "with_name", "with_stem", "with_suffix", "join", "glob", "rglob"})
LISTERS = frozenset({"iterdir", "listdir", "scandir", "walk"})
Chain = tuple[str, ...]


@dataclass
class Uses:
    """Names with the attributes used of them: `far.helper(x)` uses `far` with `("helper",)`.

    `parts`: strings that longer ones are made of. `foreign`: imported names in full, such as `sys.modules`. `bare`: names used otherwise
    than as `name / "file"`.
    """

    names: set[tuple[str, Chain]] = field(default_factory=set)
    imported: set[tuple[Alias, Chain]] = field(default_factory=set)
    imports: list[Alias] = field(default_factory=list)
    strings: set[str] = field(default_factory=set)
    parts: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    built_ins: set[str] = field(default_factory=set)
    foreign: set[str] = field(default_factory=set)
    bare: set[tuple[str, Chain]] = field(default_factory=set)
    imports_unknown: bool = False
    joins_unknown: bool = False


@dataclass
class _Scope:
    is_class: bool = False
    bound: set[str] = field(default_factory=set)
    shared: set[str] = field(default_factory=set)
    aliases: dict[str, list[Alias]] = field(default_factory=dict)


class _Reader:
    def __init__(self, module: Module, annotations: bool) -> None:
        self.module, self.annotations, self.uses = module, annotations, Uses()

    def read(self, node: ast.AST, scopes: list[_Scope]) -> None:
        if is_docstring(node):
            return
        if isinstance(node, FUNCTIONS):
            self.function(node, scopes)
        elif isinstance(node, ast.Lambda):
            self.each([*node.args.defaults, *node.args.kw_defaults], scopes)
            self.read(node.body, [*scopes, _Scope(bound=_arguments(node.args) | bound_names(own_nodes([node.body])))])
        elif isinstance(node, ast.ClassDef):
            self.each([*own_decorators(node, self.module), *node.bases, *node.keywords, *getattr(node, "type_params", [])], scopes)
            self.block(node.body, scopes, _Scope(is_class=True))
        elif isinstance(node, COMPREHENSIONS):
            self.comprehension(node, scopes)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            self.uses.imports += [alias for _, alias in aliases(node, self.module)]
        elif isinstance(node, ast.AnnAssign):
            self.each([node.target, node.value], scopes)
            if self.annotations or (scopes and scopes[-1].is_class):
                self.annotation(node.annotation, scopes)
        elif isinstance(node, (ast.Name, ast.Attribute)):
            self.chain(node, scopes, joined=False)
        elif isinstance(node, ast.Subscript) and _is_modules(node.value) and _is_text(node.slice):
            self.each([ast.Name("sys", ast.Load()), node.slice], scopes)
        elif isinstance(node, ast.Compare) and _is_text(node.left) and len(node.ops) == 1 and _is_modules(node.comparators[0]):
            self.each([ast.Name("sys", ast.Load()), node.left], scopes)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            self.join(node, scopes)
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                self.uses.strings.add(node.value)
        else:
            if isinstance(node, ast.Call):
                self.call(node)
            if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mod))):
                within = node.values if isinstance(node, ast.JoinedStr) else [node.left, node.right]
                self.uses.parts |= {part.value for part in within if isinstance(part, ast.Constant) and isinstance(part.value, str)}
            self.each(ast.iter_child_nodes(node), scopes)

    def each(self, nodes: Iterable[ast.AST | None], scopes: list[_Scope]) -> None:
        for node in nodes:
            if node is not None:
                self.read(node, scopes)

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scopes: list[_Scope]) -> None:
        self.each([*own_decorators(node, self.module), *node.args.defaults, *node.args.kw_defaults], scopes)
        if self.annotations or shows_annotations(node, self.module):
            every = (*node.args.posonlyargs, *node.args.args, node.args.vararg, *node.args.kwonlyargs, node.args.kwarg)
            for annotation in (*(argument.annotation for argument in every if argument), node.returns):
                self.annotation(annotation, scopes)
        self.block(node.body, scopes, _Scope(bound=_arguments(node.args)))

    def block(self, body: list[ast.stmt], scopes: list[_Scope], scope: _Scope) -> None:
        nodes, elsewhere = own_nodes(body), set[str]()
        for node in nodes:
            if isinstance(node, ast.Global):
                scope.shared |= set(node.names)
            elif isinstance(node, ast.Nonlocal):
                elsewhere |= set(node.names)
            else:
                for name, alias in aliases(node, self.module):
                    scope.aliases.setdefault(name, []).append(alias)
        scope.bound |= bound_names(nodes) - scope.shared - elsewhere
        self.each(body, [*scopes, scope])

    def comprehension(self, node: ast.AST, scopes: list[_Scope]) -> None:
        generators: list[ast.comprehension] = getattr(node, "generators", [])
        self.read(generators[0].iter, scopes)
        inner = [*scopes, _Scope(bound=bound_names(own_nodes([generator.target for generator in generators])))]
        for number, generator in enumerate(generators):
            self.each([generator.iter if number else None, *generator.ifs], inner)
        self.each([getattr(node, name, None) for name in ("elt", "key", "value")], inner)

    def annotation(self, node: ast.AST | None, scopes: list[_Scope]) -> None:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                body = syntax(node.value, "<annotation>").body
            except SyntaxError:
                return
            node = body[0].value if len(body) == 1 and isinstance(body[0], ast.Expr) else None
        if isinstance(node, ast.Subscript):
            self.annotation(node.value, scopes)
            self.annotation(node.slice, scopes)
        elif isinstance(node, (ast.Tuple, ast.BinOp)):
            for part in ast.iter_child_nodes(node):
                self.annotation(part, scopes)
        elif node is not None:
            self.read(node, scopes)

    def join(self, node: ast.BinOp, scopes: list[_Scope]) -> None:
        written = _is_text(node.right)
        self.uses.joins_unknown |= not written
        if written and isinstance(node.left, (ast.Name, ast.Attribute)):
            self.chain(node.left, scopes, joined=True)
        else:
            self.read(node.left, scopes)
        self.read(node.right, scopes)

    def chain(self, node: ast.Name | ast.Attribute, scopes: list[_Scope], *, joined: bool) -> None:
        attributes: list[str] = []
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            attributes.insert(0, inner.attr)
            inner = inner.value
        self.uses.words |= set(attributes)
        if isinstance(inner, ast.Name):
            self.name(inner.id, tuple(attributes), scopes)
            if not joined and isinstance(node.ctx, ast.Load):
                self.uses.bare.add((inner.id, tuple(attributes)))
        else:
            self.read(inner, scopes)

    def name(self, name: str, chain: Chain, scopes: list[_Scope]) -> None:
        for scope in reversed(scopes):
            if scope.is_class and scope is not scopes[-1]:
                continue
            if name in scope.shared:
                break
            self.uses.imported |= {(alias, chain) for alias in scope.aliases.get(name, [])}
            self.uses.foreign |= {_dotted(alias, chain) for alias in scope.aliases.get(name, [])}
            # A name of a class body may be the module's until the body gives it a value.
            if not scope.is_class and (name in scope.bound or name in scope.aliases):
                return
        self.uses.names.add((name, chain))
        self.uses.foreign |= {_dotted(alias, chain) for alias in self.module.imports.get(name, [])}
        if not self.module.binds(name):
            self.uses.built_ins.add(name)

    def call(self, node: ast.Call) -> None:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        written = bool(node.args) and all(_is_text(argument) for argument in node.args)
        self.uses.imports_unknown |= called in IMPORTERS and not (node.args and _is_text(node.args[0]))
        self.uses.joins_unknown |= called in LISTERS or (called in JOINERS and not written)


def _dotted(alias: Alias, chain: Chain) -> str:
    return ".".join(part for part in (alias.module, alias.attribute, *chain) if part)


def _is_modules(node: ast.expr) -> bool:
    """Return whether this is `sys.modules`, looked up by one name only."""
    return isinstance(node, ast.Attribute) and node.attr == "modules" and isinstance(node.value, ast.Name) and node.value.id == "sys"


def _is_text(node: ast.expr) -> bool:
    """Return whether a string is a literal, or begins with a package's name and a dot, which `reach` follows."""
    if isinstance(node, ast.BinOp):
        return _is_text(node.left)
    first = node.values[0] if isinstance(node, ast.JoinedStr) and node.values else node
    if not isinstance(first, ast.Constant) or not isinstance(first.value, str):
        return False
    return first is node or "." in first.value


def _arguments(arguments: ast.arguments) -> set[str]:
    every = (*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg)
    return {argument.arg for argument in every if argument}


def uses(module: Module, statements: Iterable[ast.AST], *, annotations: bool = False) -> Uses:
    """Return what statements of a module's top level use."""
    reader = _Reader(module, annotations)
    reader.each(statements, [])
    return reader.uses
