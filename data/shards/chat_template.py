"""The Jinja environment of chat templates, which data renders to learn from and a model to be prompted.

It is that of transformers' apply_chat_template: sandboxed, with the same filters and globals, but for `strftime_now`, since rows must not
depend on the day on which they are made. `{% generation %}` blocks say what the assistant writes.

A sandbox of Jinja whose templates come to an end: steps of loops, arguments of filters and methods, and sizes of texts are bounded.

Jinja's own sandbox keeps a template from Python's objects, but three loops inside each other run for ever and `"a" * 10**10` takes all
memory. A template comes from whoever made the model, so neither may happen when one is opened.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment

from data.shards.model_folder import ModelError

MOST_STEPS = 2_000_000
"""Steps of all loops of one text. A conversation of 10,000 messages with 100 tools takes one million at most."""
MOST_CHARACTERS = 32_000_000
MOST_SECONDS = 20.0
LARGEST = 100_000
"""Of a number that a filter or a method of a text is given, such as a width; jinja's `range` has the same limit."""
MOST_WORK = 1_000_000_000
"""Size of what a filter or method works on times that of any argument: what `replace` or `indent` may write before it is measured."""
# Widths that fill memory, of `%` and of `format`: of more than four digits, or computed.
WIDE = re.compile(r"%(?:\([^)]*\))?[-+ #0]*(?:\d*\.)?(?:\d{5,}|\*)")
WIDE_FIELD = re.compile(r"\{[^{}]*:[^{}]*(?:\d{5,}|\{)")


class TemplateLimitError(TemplateError):
    """A template would run too long or write too much."""


class _Budget:
    """The budget that is left for one text."""

    def __init__(self) -> None:
        self.steps, self.ends = MOST_STEPS, time.monotonic() + MOST_SECONDS

    def step(self) -> None:
        self.steps -= 1
        # The clock at each step: a filter over a long range may take much of a second.
        if self.steps < 0 or time.monotonic() > self.ends:
            raise TemplateLimitError(f"its loops take more than {MOST_STEPS:,} steps or {MOST_SECONDS:g} seconds for one conversation")


_budget: ContextVar[_Budget | None] = ContextVar("template_budget", default=None)


def _step() -> str:
    if (budget := _budget.get()) is not None:
        budget.step()
    return ""


def _counted(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        _step()
        yield value


def _sized(value: Any) -> Any:
    if isinstance(value, str) and len(value) > MOST_CHARACTERS:
        raise TemplateLimitError(f"it makes a text of more than {MOST_CHARACTERS:,} characters")
    return value


def _require_small(value: Any, arguments: Iterable[Any]) -> None:
    """Raise if a filter or method of `value` may do or write too much with these arguments."""
    size = len(value) if isinstance(value, str | list | tuple) else 1
    for argument in arguments:
        number = abs(argument) if isinstance(argument, int) else len(argument) if isinstance(argument, str | list | tuple) else 0
        if size * number > MOST_WORK or (isinstance(argument, int) and number > LARGEST):
            raise TemplateLimitError(f"it calls a filter or method of {size:,} parts with {number:,}")


def _require_narrow(text: Any, wide: re.Pattern[str] = WIDE) -> None:
    if isinstance(text, str) and wide.search(text):
        raise TemplateLimitError("it formats text with a width of more than four digits, or one that is computed")


class _BoundedFilters(dict[str, Callable[..., Any]]):
    """Filters whose arguments, results and steps are bounded."""

    def __setitem__(self, name: str, function: Callable[..., Any]) -> None:
        first = 1 if hasattr(function, "jinja_pass_arg") else 0  # which of its arguments is the value

        @wraps(function)
        def bounded(*args: Any, **kwargs: Any) -> Any:
            _require_small(args[first], [*args[first + 1 :], *kwargs.values()])
            if name == "format":
                _require_narrow(args[first])
            found = function(*args, **kwargs)
            return _counted(found) if isinstance(found, Iterator) else _sized(found)

        super().__setitem__(name, bounded)


def _call(name: str, arguments: list[Any], line: int) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute(name), arguments, [], None, None, lineno=line)


class _BoundedCode(CodeGenerator):
    """Count what loops go over, and size what `~` joins."""

    def visit_For(self, node: nodes.For, frame: Frame) -> None:
        node.iter = _call("counted", [node.iter], node.lineno)
        if node.recursive:  # what it is called with again is not what stands in its head
            node.body = [nodes.Output([_call("step", [], node.lineno)], lineno=node.lineno), *node.body]
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
        except TemplateError:
            raise
        except (RecursionError, MemoryError, OverflowError) as error:
            raise TemplateLimitError(f"it ended in a {type(error).__name__}") from None
        except Exception as error:  # what the template computes may raise anything, such as a TypeError
            raise TemplateError(f"it ended in a {type(error).__name__}: {error}") from error
        finally:
            _budget.reset(held)


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """The sandbox. Templates raise TemplateLimitError, a TemplateError, where they pass a limit."""

    code_generator_class = _BoundedCode
    template_class = _BoundedTemplate
    intercepted_binops = frozenset({"+", "*", "**", "%"})
    counted, sized, step = staticmethod(_counted), staticmethod(_sized), staticmethod(_step)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        unbounded, self.filters = self.filters, _BoundedFilters()
        for name, function in unbounded.items():
            self.filters[name] = function
        del self.globals["lipsum"]  # writes as many paragraphs as it is asked for

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Compute an operation whose result has a bounded size."""
        if operator == "**" and abs(_number(left)) > 1 and abs(_number(right)) > 4096:
            raise TemplateLimitError("it raises a number to a power above 4,096")
        if operator == "*":
            for text, times in ((left, right), (right, left)):
                if isinstance(text, str | list | tuple) and _number(times) * len(text) > MOST_CHARACTERS:
                    raise TemplateLimitError(f"it makes a value of more than {MOST_CHARACTERS:,} parts")
        if operator == "%":
            _require_narrow(left)
        return _sized(super().call_binop(context, operator, left, right))

    def call(self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a function or method; a text's or list's own methods are bounded as filters are."""
        owner = getattr(__obj, "__self__", None)
        if isinstance(owner, str | list | tuple):
            _require_small(owner, [*args, *kwargs.values()])
        return _sized(super().call(__context, __obj, *args, **kwargs))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Return the sandbox's own `format` of a text, None for what is no such method."""
        found = super().wrap_str_format(value)
        if found is not None:
            _require_narrow(value.__self__, WIDE_FIELD)
        return found


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


BEGIN, END = "\ue002", "\ue003"
"""Characters for private use, which mark the two sides of a generation block."""
# Likewise, on both sides of a number. They are hidden themselves where a text holds them.
OPEN, CLOSE = "\ue004", "\ue005"
_HIDDEN = re.compile(f"{OPEN}(\\d+){CLOSE}")


class Guard:
    """The names of special tokens, which are plain text inside messages; `more`: other strings to keep from the template."""

    def __init__(self, names: Iterable[str], more: Iterable[str] = ()) -> None:
        self._names = (*sorted(names, key=len, reverse=True), OPEN, CLOSE, *more)
        self._found = re.compile("|".join(map(re.escape, self._names)))

    def hide(self, value: Any) -> Any:
        """Return a value with the names in its strings, and in the keys of its objects, replaced by placeholders."""
        if isinstance(value, str):
            return self._found.sub(lambda found: f"{OPEN}{self._names.index(found.group())}{CLOSE}", value)
        if isinstance(value, dict):
            return {self.hide(name): self.hide(inner) for name, inner in value.items()}
        return [self.hide(inner) for inner in value] if isinstance(value, list | tuple) else value

    def hide_in(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Return a message with all but its role hidden."""
        return {name: inner if name == "role" else self.hide(inner) for name, inner in message.items()}

    def restore(self, text: str) -> str:
        """Return a text with the names back in their places."""
        return _HIDDEN.sub(lambda found: self._names[int(found.group(1))], text)


class GenerationBlocks(Extension):
    """The statement `{% generation %} ... {% endgeneration %}`."""

    tags = {"generation"}  # noqa: RUF012  # as Jinja declares it

    def parse(self, parser: Parser) -> nodes.Node:
        """Take the block for a scope, which changes nothing of what it writes."""
        line = next(parser.stream).lineno
        return self._block(parser.parse_statements(("name:endgeneration",), drop_needle=True)).set_lineno(line)

    def _block(self, body: list[nodes.Node]) -> nodes.Node:
        return nodes.Scope(body)


class MarkedBlocks(GenerationBlocks):
    """The same statement, with a mark on each side of what it writes."""

    def _block(self, body: list[nodes.Node]) -> nodes.Node:
        return nodes.CallBlock(self.call_method("_marked"), [], [], body)

    def _marked(self, caller: Macro) -> str:
        return f"{BEGIN}{caller()}{END}"


def template_environment(*, marked: bool = False) -> ImmutableSandboxedEnvironment:
    """Return the environment, whose templates end within limits. `marked`: what generation blocks write stands between marks."""
    environment = BoundedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[MarkedBlocks if marked else GenerationBlocks, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    return environment


def parse_template(source: str, path: Path, *, marked: bool = False) -> Template:
    """Return the template of a file; raise ModelError that names it for one that can't be compiled."""
    try:
        return template_environment(marked=marked).from_string(source)
    # Python compiles what Jinja writes, and refuses what is nested too deep in several ways.
    except (TemplateError, SyntaxError, ValueError, TypeError, RecursionError, MemoryError, OverflowError) as error:
        raise ModelError(f"{path} is not a template of Jinja: {type(error).__name__}: {error}; fetch the model again") from error


def _to_json(
    value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: tuple[str, str] | None = None, sort_keys: bool = False
) -> str:
    """Dump JSON without the HTML escapes and sorted keys of Jinja's own filter."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)
