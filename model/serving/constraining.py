"""What replies to a request are held to: JSON of a schema, a regular expression, a grammar, or calls of tools."""

from __future__ import annotations

import threading
from typing import Any

from model.inference.chat_format import ChatFormat, ChatFormatError
from model.inference.grammar import ANY_OBJECT, Grammar, GrammarCompiler, GrammarError, GrammarKind
from model.inference.tool_calls import CallForm
from model.serving.errors import ApiError
from model.serving.messages import ToolNamed
from model.serving.schema import ChatRequest, Generating


class Constraining:
    """Makes the grammars of one model's requests. The compiler is made when the first one is asked for."""

    def __init__(self, chat_format: ChatFormat, vocab_size: int) -> None:
        self._format, self._vocab_size = chat_format, vocab_size
        self._compiler: GrammarCompiler | None = None
        self._form: CallForm | None = None
        self._one = threading.Lock()

    def call_form(self, asked: ChatRequest) -> CallForm | None:
        """Return how calls are written, if the request speaks of them. Raise ApiError for a template that does not know them."""
        if not asked.speaks_of_calls:
            return None
        try:
            self._form = self._form or CallForm.of(self._format)
        except ChatFormatError as error:
            raise ApiError(400, str(error), param="tools" if asked.offered else "messages") from None
        return self._form

    def grammars(self, asked: Generating, count: int) -> list[Grammar | None]:
        """Return a grammar for each of `count` replies; None if they are free. Raise ApiError for one that can't be read."""
        wanted = self._wanted(asked)
        if wanted is None:
            return [None] * count
        kind, source, param = wanted
        try:
            with self._one:
                self._compiler = self._compiler or GrammarCompiler(self._format, self._vocab_size)
                return [self._compiler.grammar(kind, source) for _ in range(count)]
        except GrammarError as error:
            raise ApiError(400, f"{param}: {error}", param=param) from None

    def _wanted(self, asked: Generating) -> tuple[GrammarKind, str | dict[str, Any], str] | None:
        """Return kind and source of the grammar, and the parameter that asks for it."""
        if asked.guided_regex is not None:
            return "regex", asked.guided_regex, "guided_regex"
        if asked.guided_grammar is not None:
            return "lark", asked.guided_grammar, "guided_grammar"
        if asked.response_format is not None and asked.response_format.type != "text":
            schema = asked.response_format.json_schema
            return "json_schema", ANY_OBJECT if schema is None else schema.schema_, "response_format"
        if isinstance(asked, ChatRequest) and asked.offered and (form := self.call_form(asked)) is not None:
            functions = [tool.function.model_dump(include={"name", "parameters"}) for tool in asked.callable]
            several = asked.parallel_tool_calls and not isinstance(asked.tool_choice, ToolNamed)
            return "lark", form.grammar(functions, required=asked.tool_choice not in (None, "auto"), several=several), "tools"
        return None
