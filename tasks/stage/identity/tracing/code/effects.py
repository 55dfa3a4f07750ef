"""Find what must hold so that executing a statement of a module has no effect but to bind its names.

Whether it holds depends on other files too, so it is written down here and judged by `purity`. A need is a tuple: `("impure",)`;
`("op", name, ...)`, an operator or an iteration takes this value; `("get", name, attribute, ...)`; `("call", callbacks, arguments, name,
...)`; `("decorator", name, ...)`; `("base", name, ...)`; `("keyword", name)`; `("augmented", name)`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from tasks.stage.identity.tracing.code.facts import Chain
from tasks.stage.identity.tracing.code.mentions import COMPREHENSIONS, bound_names, own_nodes
from tasks.stage.identity.tracing.code.normal import FUNCTIONS, Style, is_docstring

IMPURE: Chain = ("impure",)
BUILT = (ast.Constant, ast.JoinedStr, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp, ast.Call)
PLAIN_METHODS = frozenset(
    {"join", "split", "splitlines", "items", "keys", "values", "lower", "upper", "strip", "rstrip", "lstrip", "format", "encode", "copy"}
    | {
        "union",
        "startswith",
        "endswith",
        "replace",
        "get",
        "title",
        "match",
        "fullmatch",
        "search",
        "with_name",
        "joinpath",
        "resolve",
        "removeprefix",
        "removesuffix",
    }
)


class Needs:
    """Collects needs of statements of one module."""

    def __init__(self, style: Style) -> None:
        """Leave out the decorators that `style` leaves out."""
        self.style = style

    def statement(self, node: ast.stmt, local: frozenset[str] = frozenset()) -> Iterator[Chain]:
        """Yield the needs of a statement; `local`: names that the class around it binds."""
        if isinstance(node, FUNCTIONS):
            yield from self._decorators(node, local)
            yield from self.values([*node.args.defaults, *(d for d in node.args.kw_defaults if d)], local)
        elif isinstance(node, ast.ClassDef):
            yield from self._class(node, local)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            plain = all(isinstance(part, (ast.Name, ast.Tuple, ast.List, ast.Starred)) for t in targets for part in _parts(t))
            yield from () if plain else (IMPURE,)
            if node.value is not None:
                yield from self.values([node.value], local)
                if any(not isinstance(target, ast.Name) for target in targets):
                    yield from self._operand(node.value)
        elif isinstance(node, ast.AugAssign):
            yield ("augmented", node.target.id) if isinstance(node.target, ast.Name) else IMPURE
            yield from self.values([node.value], local)
            yield from self._operand(node.value)
        elif isinstance(node, ast.Expr):
            yield from () if is_docstring(node) else self.values([node.value], local)
        elif isinstance(node, (ast.If, ast.Try, ast.For)):
            yield from self._container(node, local)
        elif isinstance(node, ast.Assert):
            yield from self.values([node.test], local)
        elif not isinstance(node, (ast.Import, ast.ImportFrom, ast.Pass, ast.Break, ast.Continue)):
            yield IMPURE

    def _container(self, node: ast.If | ast.Try | ast.For, local: frozenset[str]) -> Iterator[Chain]:
        if isinstance(node, ast.If):
            yield from self.values([node.test], local)
        if isinstance(node, ast.For):
            yield from self.values([node.iter], local)
            yield from self._operand(node.iter)
            if any(not isinstance(part, (ast.Name, ast.Tuple, ast.List, ast.Starred)) for part in _parts(node.target)):
                yield IMPURE
        blocks = [node.body, node.orelse]
        if isinstance(node, ast.Try):
            blocks += [node.finalbody, *(handler.body for handler in node.handlers)]
        for inner in (statement for block in blocks for statement in block):
            yield from self.statement(inner, local)

    def _class(self, node: ast.ClassDef, local: frozenset[str]) -> Iterator[Chain]:
        yield from self._decorators(node, local)
        for base in node.bases:
            chain = chain_of(base.value if isinstance(base, ast.Subscript) else base)
            yield ("base", *chain) if chain else IMPURE
        for keyword in node.keywords:
            yield ("keyword", keyword.arg or "**")
            yield from self.values([keyword.value], local)
        inside = local | bound_names(own_nodes(node.body))
        for inner in node.body:
            yield from self.statement(inner, inside)

    def _decorators(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, local: frozenset[str]) -> Iterator[Chain]:
        for decorator in self.style.decorators(node):
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            chain = chain_of(called)
            if not chain:
                yield IMPURE
            elif chain[0] not in local:
                yield ("decorator", *chain)
            if isinstance(decorator, ast.Call):
                yield from self.values([*decorator.args, *(keyword.value for keyword in decorator.keywords)], local)

    def values(self, nodes: Iterable[ast.AST], local: frozenset[str]) -> Iterator[Chain]:
        """Yield the needs of expressions."""
        for node in nodes:
            if isinstance(node, (ast.Constant, ast.Lambda, ast.Name)):
                continue
            if isinstance(node, ast.Attribute) and (chain := chain_of(node)):
                yield from () if chain[0] in local else (("get", *chain),)
            elif isinstance(node, ast.Call):
                yield from self._call(node, local)
            elif isinstance(node, (ast.Await, ast.Yield, ast.YieldFrom)):
                yield IMPURE
            else:
                children = list(ast.iter_child_nodes(node))
                if isinstance(
                    node, (ast.BinOp, ast.UnaryOp, ast.Compare, ast.Subscript, ast.FormattedValue, ast.Starred, ast.comprehension)
                ):
                    for child in children:
                        yield from () if (found := chain_of(child)) and found[0] in local else self._operand(child)
                if isinstance(node, COMPREHENSIONS):
                    targets = [generator.target for generator in node.generators]
                    local = local | bound_names(own_nodes(targets))
                yield from self.values(children, local)

    def _call(self, node: ast.Call, local: frozenset[str]) -> Iterator[Chain]:
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        yield from self.values(arguments, local)
        handed = "lambda" if any(isinstance(argument, ast.Lambda) for argument in arguments) else ""
        passed = " ".join(".".join(found) for argument in arguments if (found := chain_of(argument)))
        chain = chain_of(node.func)
        if chain:
            if chain[0] in local:
                yield from () if len(chain) > 1 and chain[-1] in PLAIN_METHODS else (IMPURE,)
            else:
                yield ("call", handed, passed, *chain)
        elif isinstance(node.func, ast.Attribute) and node.func.attr in PLAIN_METHODS and isinstance(node.func.value, BUILT):
            yield from self.values([node.func.value], local)
            yield from () if not (handed or passed) or node.func.attr in ("join", "format", "get", "replace") else (IMPURE,)
        else:
            yield IMPURE

    def _operand(self, node: ast.AST) -> Iterator[Chain]:
        chain = chain_of(node)
        if chain:
            yield ("op", *chain)


def chain_of(node: ast.AST) -> Chain:
    """Return `a.b.c` as ("a", "b", "c"); () for anything else."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.insert(0, node.attr)
        node = node.value
    return (node.id, *attributes) if isinstance(node, ast.Name) else ()


def _parts(target: ast.expr) -> Iterator[ast.expr]:
    yield target
    if isinstance(target, (ast.Tuple, ast.List)):
        for part in target.elts:
            yield from _parts(part)
    elif isinstance(target, ast.Starred):
        yield from _parts(target.value)
