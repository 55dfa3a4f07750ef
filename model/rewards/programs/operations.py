"""Programs in replies: found, parsed and held to a part of Python; and what each operation on values may do and costs.

What programs may do with values: operators, functions and methods, each with what it costs.
Values are numbers, texts, lists, tuples and None. Every operation is charged, before it is done, for the largest value that it may make or
look through, so that the number of steps bounds time and memory alike. Nothing is looked up on a value by a name that a program gives.

A reply as a program: its text found, parsed and held to the part of Python that the interpreter knows.

A program is one or more functions, each `def` with plain parameters, and nothing else: no imports, no classes, no attributes but the
methods of texts and lists that `operations` lists, no names with two underscores. Of a reply that has a fenced block (CommonMark 4.5) the
first counts, else the whole. Python's parser alone sees the text; nothing of it is compiled.
"""

from __future__ import annotations

import ast
import operator
import re
import textwrap
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

CHARACTERS, NODES, DEPTH = 2000, 400, 24  # of a program's text, of its syntax tree, of how deep that goes
# A fenced block in any spelling of its language; one that was cut off has no end.
_BLOCK = re.compile(r"(?<![`~])(`{3,}+|~{3,}+)[^\n`~]*\n(.*?)(?:\1|[`~]{0,2}\Z)", re.DOTALL)
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
    text = reply.replace("\r\n", "\n").replace("\r", "\n")
    block = _BLOCK.search(text)
    return textwrap.dedent(block[2] if block else text).strip()


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


LARGEST = 10**18  # the largest whole number
DIGITS = 18  # the most characters of a text that is read as a number
Charge = Callable[[int], None]
Value = Any  # a number, a text, a list, a tuple or None

_ARITHMETIC: Mapping[type[ast.operator], Callable[[Value, Value], Value]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Value, Value], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda one, other: one in other,
    ast.NotIn: lambda one, other: one not in other,
}
_TEXT: Mapping[str, Callable[..., Value]] = {
    **{"upper": str.upper, "lower": str.lower, "strip": str.strip, "split": str.split, "replace": str.replace, "join": str.join},
    **{"startswith": str.startswith, "endswith": str.endswith, "count": str.count, "find": str.find, "index": str.index},
    **{"isdigit": str.isdigit, "isalpha": str.isalpha, "isupper": str.isupper, "islower": str.islower},
}
_LIST: Mapping[str, Callable[..., Value]] = {
    **{"append": list.append, "extend": list.extend, "insert": list.insert, "pop": list.pop, "remove": list.remove},
    **{"index": list.index, "count": list.count, "reverse": list.reverse, "sort": list.sort, "copy": list.copy},
}


def weigh(charge: Charge, *values: Value) -> None:
    """Charge for all that values hold, again for what they hold twice: comparing them costs as much."""
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        charge(1 + len(value) if isinstance(value, (str, list, tuple)) else 1)
        if isinstance(value, (list, tuple)):
            waiting += value


def bounded(value: Value) -> Value:
    """Return a value as it is. Raise ProgramError for a whole number that is too large."""
    if isinstance(value, int) and abs(value) > LARGEST:
        raise ProgramError("a number is larger than 10**18")
    return value


def calculate(kind: type[ast.operator], left: Value, right: Value, charge: Charge) -> Value:
    """Return `left` and `right` joined by an operator."""
    for one, other in ((left, right), (right, left)):
        if isinstance(one, (str, list, tuple)):
            if kind is ast.Mod:
                raise ProgramError("texts are not formatted here")
            charge(len(one) * max(1, other) if kind is ast.Mult and isinstance(other, int) else len(one))
    if kind is ast.Pow:
        return _power(left, right)
    if kind not in _ARITHMETIC:
        raise ProgramError(f"the operator {kind.__name__} is not known here")
    return bounded(_ARITHMETIC[kind](left, right))


def _power(base: Value, exponent: Value) -> Value:
    if not isinstance(base, (int, float)) or not isinstance(exponent, (int, float)):
        raise ProgramError("only numbers have powers")
    if isinstance(base, int) and isinstance(exponent, int) and base.bit_length() * max(0, exponent) > 2 * LARGEST.bit_length():
        raise ProgramError("a number is larger than 10**18")
    found = base**exponent
    if isinstance(found, complex):
        raise ProgramError("roots of negative numbers are not known here")
    return bounded(found)


def compare(kind: type[ast.cmpop], left: Value, right: Value, charge: Charge) -> bool:
    """Return how two values compare; `is` with None alone."""
    if kind in (ast.Is, ast.IsNot):
        if left is not None and right is not None:
            raise ProgramError("`is` is for None alone")
        return (left is right) == (kind is ast.Is)
    weigh(charge, left, right)
    return bool(_COMPARISONS[kind](left, right))


def call_method(receiver: Value, name: str, given: Sequence[Value], named: Mapping[str, Value], charge: Charge) -> Value:
    """Call a method of a text or a list."""
    known = _TEXT if isinstance(receiver, str) else _LIST if isinstance(receiver, list) else {}
    if name not in known:
        raise ProgramError(f"the method {name} of a {type(receiver).__name__} is not known here")
    if named and (name != "sort" or set(named) != {"reverse"}):
        raise ProgramError(f"the method {name} takes no named arguments here")
    weigh(charge, receiver, *given)
    if name == "replace" and len(given) >= 2 and isinstance(given[1], str):  # its count, if given, may be as large as one likes
        charge((len(receiver) + 1) * (len(given[1]) + 1))
    if name == "join" and len(given) == 1 and isinstance(given[0], (list, tuple)):
        charge(len(receiver) * len(given[0]))
    return known[name](receiver, *given, **named)


def call_function(name: str, given: Sequence[Value], named: Mapping[str, Value], charge: Charge) -> Value:
    """Call one of the functions that every program has."""
    if name not in FUNCTIONS:
        raise ProgramError(f"the function {name} is not known here")
    if named and (name != "sorted" or set(named) != {"reverse"}):
        raise ProgramError(f"the function {name} takes no named arguments here")
    weigh(charge, *given)
    if name == "range":
        charge(len(range(*given)))
    if name == "sum" and not (len(given) == 1 and all(isinstance(one, (int, float)) for one in given[0])):
        raise ProgramError("sum takes one list of numbers")
    if name in ("int", "float", "str") and given:
        _require_simple(name, given[0])
    return bounded(FUNCTIONS[name](*given, **named))


def _require_simple(name: str, value: Value) -> None:
    if isinstance(value, (list, tuple)) or (name != "str" and isinstance(value, str) and len(value) > DIGITS):
        raise ProgramError(f"{name} takes a number, or a text of at most {DIGITS} digits")


FUNCTIONS: Mapping[str, Callable[..., Value]] = {
    **{"len": len, "abs": abs, "min": min, "max": max, "sum": sum, "sorted": sorted, "any": any, "all": all},
    **{"int": int, "float": float, "str": str, "bool": bool, "list": list, "tuple": tuple},
    "range": lambda *given: list(range(*given)),
    "reversed": lambda values: list(reversed(values)),
    "enumerate": lambda values: list(enumerate(values)),
    "zip": lambda *values: list(zip(*values, strict=False)),
}
