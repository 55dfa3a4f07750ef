"""The interpreter of programs: it walks their syntax tree, and counts.

Guarantee: a program and its inputs give the same on every machine, or ProgramError, whatever a model wrote. What bounds time and memory is
the number of steps: each part that is evaluated costs one, and a value as many as it has items. No clock decides.
A program sees its own inputs and the functions of `operations`, nothing of this process. Generators are lists here: all of one is computed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

from model.rewards.programs.operations import ProgramError, Value, bounded, calculate, call_function, call_method, compare

NESTING = 120  # parts inside each other, calls of functions included
Names = dict[str, Value]


class _Ended(Exception):
    """Early exit from a block: `how` is return, break or continue."""

    def __init__(self, how: str, value: Value = None) -> None:
        super().__init__(how)
        self.how, self.value = how, value


def run_program(functions: Mapping[str, ast.FunctionDef], name: str, inputs: Sequence[Value], steps: int) -> Value:
    """Return what the function `name` gives for the inputs. Raise ProgramError if it does not within `steps`."""
    if name not in functions:
        raise ProgramError(f"the program has no function {name}")
    try:
        return _Interpreter(functions, steps).call(functions[name], deepcopy(list(inputs)))
    except (TypeError, ValueError, IndexError, ArithmeticError, RecursionError) as error:
        raise ProgramError(f"{name} failed: {error}") from error


class _Interpreter:
    def __init__(self, functions: Mapping[str, ast.FunctionDef], steps: int) -> None:
        self._functions, self._left, self._depth = functions, steps, 0

    def _charge(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise ProgramError("the program takes more steps than it has")

    def _enter(self) -> None:
        self._charge(1)
        self._depth += 1
        if self._depth > NESTING:
            raise ProgramError(f"the program nests deeper than {NESTING} levels")

    def call(self, function: ast.FunctionDef, given: Sequence[Value]) -> Value:
        """Call a function of the program."""
        parameters = [parameter.arg for parameter in function.args.args]
        if len(parameters) != len(given):
            raise ProgramError(f"{function.name} takes {len(parameters)} values, not {len(given)}")
        try:
            self._block(function.body, dict(zip(parameters, given, strict=True)))
        except _Ended as end:
            if end.how == "return":
                return end.value
            raise ProgramError(f"{end.how} is outside a loop") from None
        return None

    def _block(self, statements: Sequence[ast.stmt], names: Names) -> None:
        self._enter()
        for statement in statements:
            self._charge(1)
            self._do(statement, names)
        self._depth -= 1

    def _do(self, statement: ast.stmt, names: Names) -> None:
        match statement:
            case ast.Return(value=value):
                raise _Ended("return", None if value is None else self._value(value, names))
            case ast.Assign(targets=targets, value=value):
                found = self._value(value, names)
                for target in targets:
                    self._assign(target, found, names)
            case ast.AugAssign(target=target, op=op, value=value):
                before = self._value(target, names)
                added = self._value(value, names)
                if isinstance(before, list) and isinstance(op, ast.Add):
                    call_method(before, "extend", [added], {}, self._charge)
                else:
                    self._assign(target, calculate(type(op), before, added, self._charge), names)
            case ast.If(test=test, body=body, orelse=otherwise):
                self._block(body if self._value(test, names) else otherwise, names)
            case ast.While(test=test, body=body, orelse=[]):
                self._loop((None for _ in iter(lambda: bool(self._value(test, names)), False)), None, body, names)
            case ast.For(target=target, iter=over, body=body, orelse=[]):
                self._loop(self._items(self._value(over, names)), target, body, names)
            case ast.Expr(value=value):
                self._value(value, names)
            case ast.Break() | ast.Continue():
                raise _Ended(type(statement).__name__.lower())
            case ast.Pass():
                pass
            case _:
                raise ProgramError(f"line {statement.lineno}: {type(statement).__name__} can't stand here")

    def _loop(self, items: Iterator[Value], target: ast.expr | None, body: Sequence[ast.stmt], names: Names) -> None:
        for item in items:
            depth = self._depth
            if target is not None:
                self._assign(target, item, names)
            try:
                self._block(body, names)
            except _Ended as end:
                self._depth = depth
                if end.how == "return":
                    raise
                if end.how == "break":
                    return

    def _items(self, value: Value) -> Iterator[Value]:
        """Yield the items of a value, each for a step, those that are added meanwhile too."""
        if not isinstance(value, (str, list, tuple)):
            raise ProgramError(f"a {type(value).__name__} has no items")
        for item in value:
            self._charge(1)
            yield item

    def _assign(self, target: ast.expr, value: Value, names: Names) -> None:
        match target:
            case ast.Name(id=name):
                names[name] = value
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                values = list(self._items(value))
                if len(values) != len(targets):
                    raise ProgramError(f"line {target.lineno}: {len(targets)} names for {len(values)} values")
                for one, item in zip(targets, values, strict=True):
                    self._assign(one, item, names)
            case ast.Subscript(value=of, slice=place) if not isinstance(place, ast.Slice):
                self._value(of, names)[self._value(place, names)] = value
            case _:
                raise ProgramError(f"line {target.lineno}: nothing can be assigned to this")

    def _value(self, node: ast.expr, names: Names) -> Value:
        self._enter()
        depth = self._depth
        found = self._evaluate(node, names)
        self._depth = depth - 1
        return found

    def _evaluate(self, node: ast.expr, names: Names) -> Value:
        match node:
            case ast.Constant(value=None | bool() | int() | float() | str() as value):
                return bounded(value)
            case ast.Name(id=name):
                if name not in names:
                    raise ProgramError(f"line {node.lineno}: {name} has no value")
                return names[name]
            case ast.BinOp(left=left, op=op, right=right):
                return calculate(type(op), self._value(left, names), self._value(right, names), self._charge)
            case ast.BoolOp(op=op, values=values):
                return self._either(isinstance(op, ast.Or), values, names)
            case ast.UnaryOp(op=op, operand=operand):
                return _turned(op, self._value(operand, names))
            case ast.Compare(left=left, ops=ops, comparators=others):
                return self._compared(self._value(left, names), ops, others, names)
            case ast.IfExp(test=test, body=body, orelse=otherwise):
                return self._value(body if self._value(test, names) else otherwise, names)
            case ast.List(elts=items):
                return [self._value(item, names) for item in items]
            case ast.Tuple(elts=items):
                return tuple([self._value(item, names) for item in items])
            case ast.ListComp(elt=item, generators=loops) | ast.GeneratorExp(elt=item, generators=loops):
                return list(self._comprehended(item, loops, dict(names)))
            case ast.Subscript(value=of, slice=place):
                return self._part(self._value(of, names), place, names)
            case ast.Call(func=function, args=given, keywords=named):
                return self._call(function, given, named, names)
            case _:
                raise ProgramError(f"line {node.lineno}: {type(node).__name__} can't stand here")

    def _either(self, wanted: bool, values: Sequence[ast.expr], names: Names) -> Value:
        found: Value = None
        for value in values:
            found = self._value(value, names)
            if bool(found) == wanted:
                break
        return found

    def _compared(self, left: Value, ops: Sequence[ast.cmpop], others: Sequence[ast.expr], names: Names) -> bool:
        for op, other in zip(ops, others, strict=True):
            right = self._value(other, names)
            if not compare(type(op), left, right, self._charge):
                return False
            left = right
        return True

    def _comprehended(self, item: ast.expr, loops: Sequence[ast.comprehension], names: Names) -> Iterator[Value]:
        if not loops:
            yield self._value(item, names)
            return
        for one in self._items(self._value(loops[0].iter, names)):
            self._assign(loops[0].target, one, names)
            if all(self._value(test, names) for test in loops[0].ifs):
                yield from self._comprehended(item, loops[1:], names)

    def _part(self, value: Value, place: ast.expr, names: Names) -> Value:
        if not isinstance(value, (str, list, tuple)):
            raise ProgramError(f"line {place.lineno}: a {type(value).__name__} has no parts")
        if not isinstance(place, ast.Slice):
            return value[self._value(place, names)]
        self._charge(len(value))
        ends = (None if end is None else self._value(end, names) for end in (place.lower, place.upper, place.step))
        return value[slice(*ends)]

    def _call(self, function: ast.expr, given: Sequence[ast.expr], named: Sequence[ast.keyword], names: Names) -> Value:
        if isinstance(function, ast.Attribute):
            receiver = self._value(function.value, names)
            return call_method(receiver, function.attr, *self._given(given, named, names), self._charge)
        if not isinstance(function, ast.Name) or function.id in names:
            raise ProgramError(f"line {function.lineno}: only functions by their name can be called")
        values, by_name = self._given(given, named, names)
        if own := self._functions.get(function.id):
            if by_name:
                raise ProgramError(f"line {function.lineno}: {function.id} takes no named arguments here")
            return self.call(own, values)
        return call_function(function.id, values, by_name, self._charge)

    def _given(self, given: Sequence[ast.expr], named: Sequence[ast.keyword], names: Names) -> tuple[list[Value], dict[str, Any]]:
        return [self._value(one, names) for one in given], {str(one.arg): self._value(one.value, names) for one in named}


def _turned(op: ast.unaryop, value: Value) -> Value:
    if isinstance(op, ast.Not):
        return not value
    if not isinstance(value, (int, float)) or not isinstance(op, (ast.USub, ast.UAdd)):
        raise ProgramError("only numbers have a sign")
    return -value if isinstance(op, ast.USub) else +value
