"""Calls of tools in replies: the form in which a chat template writes them, a grammar that holds replies to it, and how they are read.

The form is <tool_call>{"name": ..., "arguments": ...}</tool_call>, of folio's own template and of Hermes and Qwen; spaces are the
template's. A template of another form is refused by name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model.inference.chat_format import ChatFormat, ChatFormatError, Message

OPEN, CLOSE = "<tool_call>", "</tool_call>"
# What json.dumps writes, and so what templates show: no other white space, or a small model would write nothing else.
SPACING = {"whitespace_flexible": False, "key_separator": ": ", "item_separator": ", "}
NOTHING: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
_PROBES, _SHOWN, _ARGUMENTS = ("probe_one", "probe_two"), "what the probe does", {"probed": 1}


@dataclass(frozen=True)
class CallForm:
    """The text that a template writes before a call's name, between name and arguments, after them, and between two calls."""

    begin: str = f'{OPEN}{{"name": '
    middle: str = ', "arguments": '
    end: str = f"}}{CLOSE}"
    between: str = "\n"

    @classmethod
    def of(cls, chat_format: ChatFormat) -> CallForm:
        """Return the form of a tokenizer's template. Raise ChatFormatError, saying what it lacks."""
        if special := [name for name in (OPEN, CLOSE) if name in chat_format.special_names]:
            raise ChatFormatError(f"this model writes tool calls with a special token, {special[0]}, which is not offered; leave tools out")
        functions = [{"name": name, "description": _SHOWN, "parameters": {"type": "object", "properties": {}}} for name in _PROBES]
        calls = [{"type": "function", "function": {"name": name, "arguments": _ARGUMENTS}} for name in _PROBES]
        messages: list[Message] = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "", "tool_calls": calls}]
        text = chat_format.render(messages, [{"type": "function", "function": function} for function in functions])
        if _SHOWN not in text:
            raise ChatFormatError("this model's chat template shows no tools to it; leave tools out, or describe them in a message")
        name, arguments = (re.escape(json.dumps(value)) for value in (_PROBES[0], _ARGUMENTS))
        found = re.search(
            rf"""({OPEN}\s*{{\s*"name":\s*){name}(,\s*"arguments":\s*){arguments}(\s*}}\s*{CLOSE})(\s*){OPEN}""", text
        )  # fmt: skip
        if found is None:
            raise ChatFormatError(
                f'this model\'s chat template writes no calls as {OPEN}{{"name": ..., "arguments": ...}}{CLOSE}; leave tools and calls out'
            )
        return cls(*found.groups())

    def grammar(self, tools: Sequence[Mapping[str, Any]], *, required: bool, several: bool) -> str:
        """Return the Lark grammar of replies that may call these functions, of `name` and `parameters`, a JSON schema.

        required: a reply is a call; else it is text, or ends in a call. several: more than one may follow each other.
        """
        more = f"({json.dumps(self.between)} call)*" if several else ""
        rest = " | ".join(f"tool_{number}" for number in range(len(tools)))
        lines = ["%llguidance {}", f"start: call {more}" if required else f"start: TEXT | head called {more}"]
        lines += ["TEXT: /(.|\\n)*/", f"head[lazy]: TEXT {json.dumps(OPEN)}", f"call: {json.dumps(OPEN)} called", f"called: {rest}"]
        for number, tool in enumerate(tools):
            schema = {"x-guidance": SPACING, **(tool.get("parameters") or NOTHING), "type": "object"}
            begin = json.dumps(f"{self.begin.removeprefix(OPEN)}{json.dumps(tool['name'])}{self.middle}")
            lines.append(f"tool_{number}: {begin} arguments_{number} {json.dumps(self.end)}")
            lines.append(f"arguments_{number}: %json {json.dumps(schema)}")
        return "\n".join(lines)


@dataclass(frozen=True)
class CallPart:
    """A part of a call: its number in the reply, its name in the first part, and the next characters of its arguments."""

    number: int
    name: str = ""
    arguments: str = ""


class CallReader:
    """Takes the text of one reply as it comes; gives its content, and its calls in parts. What may begin a call is held back.

    calls: how many have begun.
    """

    def __init__(self, form: CallForm) -> None:
        self._form, self._held, self._state, self.calls = form, "", "text", 0
        self._depth, self._quoted, self._escaped = 0, False, False

    def push(self, text: str) -> tuple[str, list[CallPart]]:
        """Return the content and the parts of calls that became final with this text."""
        self._held += text
        content, parts = list[str](), list[CallPart]()
        while self._held and {"text": self._text, "begin": self._begin, "arguments": self._arguments, "end": self._end}[self._state](
            content, parts
        ):
            pass
        return "".join(content), parts

    def finish(self) -> str:
        """Return the content that was held back. A call that was not finished stays as it is."""
        held, self._held = self._held, ""
        return held if self._state == "text" and not self.calls else ""

    def _text(self, content: list[str], parts: list[CallPart]) -> bool:
        place = self._held.find(OPEN)
        if place >= 0:
            said = self._held[:place]
            content.append("" if self.calls else said.removesuffix(self._form.between))
            self._held, self._state = self._held[place:], "begin"
            return True
        kept = max(_beginning(self._held, mark) for mark in (OPEN, self._form.between + OPEN))
        said, self._held = self._held[: len(self._held) - kept], self._held[len(self._held) - kept :]
        content.append("" if self.calls and not said.strip() else said)
        return False

    def _begin(self, content: list[str], parts: list[CallPart]) -> bool:
        begin, middle = self._form.begin, self._form.middle
        if not (self._held.startswith(begin) or begin.startswith(self._held)):
            # The mark alone begins no call.
            content.append(OPEN)
            self._held, self._state = self._held[len(OPEN) :], "text"
            return True
        place = self._held.find(middle)
        if place < 0:
            return False
        parts.append(CallPart(self.calls, self._held[len(begin) : place].strip('"')))
        self.calls += 1
        self._held, self._state = self._held[place + len(middle) :], "arguments"
        return True

    def _arguments(self, content: list[str], parts: list[CallPart]) -> bool:
        for place, character in enumerate(self._held):
            if self._quoted:
                self._quoted = self._escaped or character != '"'
                self._escaped = character == "\\" and not self._escaped
                continue
            self._quoted = character == '"'
            self._depth += (character in "{[") - (character in "}]")
            if not self._depth:
                parts.append(CallPart(self.calls - 1, arguments=self._held[: place + 1]))
                self._held, self._state = self._held[place + 1 :], "end"
                return True
        parts.append(CallPart(self.calls - 1, arguments=self._held))
        self._held = ""
        return False

    def _end(self, content: list[str], parts: list[CallPart]) -> bool:
        if len(self._held) < len(self._form.end):
            return False
        self._held, self._state = self._held[len(self._form.end) :], "text"
        return True


def _beginning(text: str, mark: str) -> int:
    """Return how many characters at the end of a text are the beginning of a mark."""
    return next((count for count in range(min(len(mark) - 1, len(text)), 0, -1) if text.endswith(mark[:count])), 0)
