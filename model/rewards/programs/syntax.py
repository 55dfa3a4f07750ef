"""A reply as a program: its text found, parsed and held to the part of Python that the interpreter knows.

A program is one or more functions, each `def` with plain parameters, and nothing else: no imports, no classes, no attributes but the
methods of texts and lists that `operations` lists, no names with two underscores. Of a reply that has a block between three backticks the
first block counts, else the whole. Python's parser alone sees the text; nothing of it is compiled.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections import deque

CHARACTERS, NODES, DEPTH = 2000, 400, 24  # of a program's text, of its syntax tree, of how deep that goes
_BLOCK = re.compile(r"```[a-z]*\n(.*?)```", re.DOTALL)
_KNOWN = (
    *(ast.Module, ast.FunctionDef, ast.arguments, ast.arg, ast.Return, ast.Assign, ast.AugAssign, ast.If, ast.While, ast.For, ast.Expr),
    *(ast.Pass, ast.Break, ast.Continue, ast.Constant, ast.Name, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Call),
    *(ast.keyword, ast.Attribute, ast.Subscript, ast.Slice, ast.List, ast.Tuple, ast.ListComp, ast.GeneratorExp, ast.comprehension),
    *(ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop),
)


class ProgramError(ValueError):
    """A text that is not a program, or one that does what can't be done or exceeds its bounds; the message says what, and on which line."""


def program_text(reply: str) -> str:
    """Return the part of a reply that is meant to be a program."""
    block = _BLOCK.search(reply)
    return (block.group(1) if block else reply).strip()


def parse_program(text: str) -> dict[str, ast.FunctionDef]:
    """Return the functions of a program by name. Raise ProgramError for a text that is not a program, or uses what is not known here."""
    if len(text) > CHARACTERS:
        raise ProgramError(f"the program has {len(text)} characters, more than {CHARACTERS}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the parser warns of strange escapes in what a model wrote
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ProgramError(f"the program can't be parsed: {error}") from error
    _require_known(tree)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    if len(functions) != len(tree.body) or not functions:
        raise ProgramError("a program must hold functions with different names, and nothing else")
    return functions


def _require_known(tree: ast.Module) -> None:
    """Raise ProgramError for a tree that is too large, too deep, or holds a node that the interpreter does not know."""
    waiting: deque[tuple[ast.AST, int]] = deque([(tree, 0)])
    seen = 0
    while waiting:
        node, depth = waiting.popleft()
        seen += 1
        line = getattr(node, "lineno", 1)
        if seen > NODES or depth > DEPTH:
            raise ProgramError(f"line {line}: the program has more than {NODES} parts, or more than {DEPTH} of them inside each other")
        if not isinstance(node, _KNOWN):
            raise ProgramError(f"line {line}: {type(node).__name__} is not known here")
        if isinstance(node, ast.FunctionDef):
            _require_plain(node, inside=depth > 1)
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        if "__" in name:
            raise ProgramError(f"line {line}: the name {name} holds two underscores, which is not allowed")
        waiting += ((child, depth + 1) for child in ast.iter_child_nodes(node))


def _require_plain(function: ast.FunctionDef, *, inside: bool) -> None:
    given = function.args
    odd = given.posonlyargs or given.kwonlyargs or given.vararg or given.kwarg or given.defaults
    if inside or odd or function.decorator_list:
        raise ProgramError(f"line {function.lineno}: a function has plain parameters, no decorators, and stands in no other")
