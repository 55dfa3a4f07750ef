"""The Jinja environment of chat templates, which data renders to learn from and a model to be prompted.

It is that of transformers' apply_chat_template: sandboxed, with the same filters and globals, but for `strftime_now`, since rows must not
depend on the day on which they are made. `{% generation %}` blocks say what the assistant writes.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment

from data.shards.guarding import BEGIN, END


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
    """Return the environment. `marked`: what generation blocks write stands between marks."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[MarkedBlocks if marked else GenerationBlocks, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    return environment


def _to_json(
    value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: tuple[str, str] | None = None, sort_keys: bool = False
) -> str:
    """Dump JSON without the HTML escapes and sorted keys of Jinja's own filter."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)
