"""The Jinja environment of chat templates, which data renders to learn from and a model to be prompted.

It is that of transformers' apply_chat_template: sandboxed, with the same filters and globals, but for `strftime_now`, since rows must not
depend on the day on which they are made. `{% generation %}` blocks say what the assistant writes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment

from data.shards.model_folder import ModelError
from data.shards.template_limits import BoundedEnvironment

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
