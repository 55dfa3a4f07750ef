"""A sandbox of Jinja whose templates come to an end: steps of loops, sizes of strings and the text written are bounded.

Jinja's own sandbox keeps a template from Python's objects, but three loops inside each other run for ever and `"a" * 10**10` takes all
memory. A template comes from whoever made the model, so neither may happen when one is opened.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any

from jinja2 import Template, TemplateError, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.sandbox import ImmutableSandboxedEnvironment

MOST_STEPS = 2_000_000
"""Steps of all loops of one text. A conversation of 10,000 messages with 100 tools takes one million at most."""
MOST_CHARACTERS = 32_000_000
MOST_SECONDS = 20.0
CLOCKED_STEPS = 1024
WIDE = re.compile(r"%(?:\([^)]*\))?[-+ #0]*(?:\d*\.)?(?:\d{5,}|\*)")


class TemplateLimitError(TemplateError):
    """A template would run too long or write too much."""


class _Budget:
    """What is left for one text."""

    def __init__(self) -> None:
        self.steps, self.ends = MOST_STEPS, time.monotonic() + MOST_SECONDS

    def step(self) -> None:
        self.steps -= 1
        if self.steps < 0 or (self.steps % CLOCKED_STEPS == 0 and time.monotonic() > self.ends):
            raise TemplateLimitError(f"its loops take more than {MOST_STEPS:,} steps or {MOST_SECONDS:g} seconds for one conversation")


_budget: ContextVar[_Budget | None] = ContextVar("template_budget", default=None)


def _counted(values: Iterable[Any]) -> Iterator[Any]:
    budget = _budget.get()
    for value in values:
        if budget is not None:
            budget.step()
        yield value


def _sized(value: Any) -> Any:
    if isinstance(value, str) and len(value) > MOST_CHARACTERS:
        raise TemplateLimitError(f"it makes a text of more than {MOST_CHARACTERS:,} characters")
    return value


class _BoundedCode(CodeGenerator):
    """Wrap what loops go over, and what `~` joins."""

    def visit_For(self, node: nodes.For, frame: Frame) -> None:
        if not (isinstance(node.iter, nodes.Call) and isinstance(node.iter.node, nodes.EnvironmentAttribute)):
            node.iter = nodes.Call(nodes.EnvironmentAttribute("counted"), [node.iter], [], None, None, lineno=node.lineno)
        super().visit_For(node, frame)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self.write("environment.sized(")
        super().visit_Concat(node, frame)
        self.write(")")


class _BoundedTemplate(Template):
    """Each text begins with a whole budget."""

    def render(self, *args: Any, **kwargs: Any) -> str:
        held = _budget.set(_Budget())
        try:
            return str(_sized(super().render(*args, **kwargs)))
        except (RecursionError, MemoryError, OverflowError) as error:
            raise TemplateLimitError(f"it ended in a {type(error).__name__}") from None
        finally:
            _budget.reset(held)


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """The sandbox. Templates raise TemplateLimitError, a TemplateError, where they pass a limit."""

    code_generator_class = _BoundedCode
    template_class = _BoundedTemplate
    intercepted_binops = frozenset({"+", "*", "**", "%"})
    counted, sized = staticmethod(_counted), staticmethod(_sized)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Compute an operation whose result has a bounded size."""
        if operator == "**" and abs(_number(left)) > 1 and abs(_number(right)) > 4096:
            raise TemplateLimitError("it raises a number to a power above 4,096")
        if operator == "*":
            for text, times in ((left, right), (right, left)):
                if isinstance(text, str | list | tuple) and _number(times) * len(text) > MOST_CHARACTERS:
                    raise TemplateLimitError(f"it makes a value of more than {MOST_CHARACTERS:,} parts")
        if operator == "%" and isinstance(left, str) and WIDE.search(left):
            raise TemplateLimitError("it formats text with a width of more than four digits, or one that is computed")
        return _sized(super().call_binop(context, operator, left, right))

    def call(self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a function or method; widths given to it are bounded, and so is the text that it returns."""
        _bounded_numbers(args, kwargs)
        return _sized(super().call(__context, __obj, *args, **kwargs))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _bounded_numbers(args: Iterable[Any], kwargs: dict[str, Any]) -> None:
    """Raise for a number so large that a method such as `center` or `ljust` would fill memory with it."""
    if any(isinstance(value, int) and abs(value) > MOST_CHARACTERS for value in [*args, *kwargs.values()]):
        raise TemplateLimitError(f"it calls a function with a number above {MOST_CHARACTERS:,}")
