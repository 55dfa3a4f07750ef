"""A tokenizer directory's chat template: conversations to token ids, and which of them the assistant wrote.

The template (chat_template.jinja) decides both. What its `{% generation %}` blocks write is the assistant's; the ids and the mask are those
of transformers' apply_chat_template with `return_assistant_tokens_mask`. Of a template without such blocks an assistant's message is what
it adds after the prompt for a reply, up to the special token behind what was said, which ends the reply.

Content never becomes structure: a special token in a message is encoded as the characters that it is written with. A conversation of which
the template leaves something out has a fault, since a model would learn to say nothing where it should think or call a tool; thoughts
before an earlier question are left out on purpose. The template runs in Jinja's sandbox. Memory holds the conversations of one batch.

What a chat template leaves out of a conversation: the parts without which it would write the same text.

Thoughts before an earlier question don't count: templates drop them on purpose.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.shards.chat_template import BEGIN, END, OPEN, Guard, parse_template
from data.shards.model_folder import parse_tokenizer, read_json, read_text, read_tokenizer, token_text
from data.shards.pictures import PLACEHOLDER, divide, named_pictures

Messages = list[dict[str, Any]]
Render = Callable[[Messages, list[dict[str, Any]]], str]
"""Renders messages and the descriptions of tools; raises jinja2.TemplateError where the template refuses them."""
_WITHOUT: dict[str, dict[str, Any]] = {
    "content": {"content": ""},
    "tool_calls": {"tool_calls": []},
    "thinking": {"thinking": "", "reasoning_content": ""},
}


def left_out(render: Render, text: str, messages: Messages, tools: list[dict[str, Any]]) -> str:
    """Return the first part of a conversation that its `text` does not depend on, in words; "" if there is none."""
    if tools and _is_same(render, text, messages, []):
        return "the descriptions of tools"
    asked = max((number for number, message in enumerate(messages) if message["role"] == "user"), default=-1)
    for number, message in enumerate(messages):
        for field, without in _WITHOUT.items():
            told = message.get(field)
            if not told or (field == "content" and told.strip() in text) or (field == "thinking" and number < asked):
                continue
            if _is_same(render, text, [*messages[:number], {**message, **without}, *messages[number + 1 :]], tools):
                return f"the {field.replace('_', ' ')} of message {number + 1}, the {message['role']}'s"
    return ""


def _is_same(render: Render, text: str, messages: Messages, tools: list[dict[str, Any]]) -> bool:
    from jinja2 import TemplateError

    try:
        return render(messages, tools) == text
    except TemplateError:
        return False


Message = Mapping[str, Any]
BATCH = 256
WHOLE = "conversations are encoded by the tokenizer's whole directory"
OTHER = "\ue006"
"""A character for private use, which no conversation holds."""
_MARKED = re.compile(r"\{%-?\s*generation\s*-?%\}")


class Chat(NamedTuple):
    """A conversation: the number of its line, its messages, and the descriptions of the tools that it may use."""

    line: int
    messages: Sequence[Message]
    tools: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class TokenizedChat:
    """Its ids, and for each message of the assistant the range of tokens that it wrote; or why the template refuses it."""

    ids: NDArray[np.int64]
    answers: tuple[tuple[int, int], ...] = ()
    fault: str = ""


class _Rendered(NamedTuple):
    """A rendered conversation: its text, with special tokens of contents guarded, and the ranges of characters that are answers."""

    guarded: str
    answers: tuple[tuple[int, int], ...]
    fault: str = ""


class ChatTemplate:
    """A tokenizer directory, opened for rendering conversations."""

    def __init__(self, directory: Path, pictures: Mapping[str, Sequence[int]] | None = None) -> None:
        """`pictures`: the ids that stand for each, by its placeholder in contents."""
        self._pictures = pictures or {}
        self._known: dict[str, str] = {PLACEHOLDER.fullmatch(mark)[1]: mark for mark in self._pictures}  # type: ignore[index]
        content, opened = read_tokenizer(directory / "tokenizer.json", lacking=WHOLE)
        settings = directory / "tokenizer_config.json"
        config = read_json(settings, lacking=WHOLE)
        source = read_text(directory / "chat_template.jinja", lacking=WHOLE)
        self._tokenizer: Any = opened
        self._tokenizer.encode_special_tokens = False
        self._as_text: Any = parse_tokenizer(content)
        self._as_text.encode_special_tokens = True
        self._special = {token.content: number for number, token in self._tokenizer.get_added_tokens_decoder().items() if token.special}
        named = {name: token_text(settings, name, config.get(name)) for name in ("bos_token", "eos_token", "pad_token", "unk_token")}
        self._names = {name: token for name, token in named.items() if token}
        self._guard = Guard(self._special, (BEGIN, END))
        longest_first = sorted(self._special, key=len, reverse=True)
        self._structure = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")") if self._special else None
        self._marks = bool(_MARKED.search(source))
        self._template = parse_template(source, directory / "chat_template.jinja", marked=True)

    def encode(self, chats: Iterable[Chat]) -> Iterator[TokenizedChat]:
        """Yield the ids of each conversation, in order. One that the template rejects has a fault and no ids."""
        waiting = iter(chats)
        while batch := list(islice(waiting, BATCH)):
            rendered = [self._render(chat) for chat in batch]
            whole = [one.guarded for one in rendered if not one.fault and not self._in_parts(one.guarded)]
            encodings = iter(self._tokenizer.encode_batch(whole, add_special_tokens=False))
            for one in rendered:
                if one.fault:
                    yield TokenizedChat(np.empty(0, np.int64), fault=one.fault)
                elif self._in_parts(one.guarded):
                    yield self._encode_guarded(one)
                else:
                    encoding = next(encodings)
                    yield _tokenized(encoding.ids, np.array(encoding.offsets, np.int64).reshape(-1, 2), one.answers)

    def _in_parts(self, guarded: str) -> bool:
        """Return whether a conversation holds more than text and special tokens of the template."""
        return OPEN in guarded or any(name in self._known for name in named_pictures(guarded))

    def _encode_guarded(self, one: _Rendered) -> TokenizedChat:
        """Encode the template's special tokens and pictures by id, and everything between them as text."""
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        at = 0
        for part in self._structure.split(one.guarded) if self._structure else [one.guarded]:
            if part in self._special:
                ids.append(self._special[part])
                offsets.append((at, at + len(part)))
                at += len(part)
                continue
            for words, name in divide(self._guard.restore(part), self._known):
                text = words or self._known[name]
                if name:
                    ids += self._pictures[text]
                    offsets += [(at, at + len(text))] * len(self._pictures[text])
                else:
                    encoding = self._as_text.encode(text, add_special_tokens=False)
                    ids += encoding.ids
                    offsets += [(at + start, at + end) for start, end in encoding.offsets]
                at += len(text)
        answers = tuple((self._shifted(one.guarded, start), self._shifted(one.guarded, end)) for start, end in one.answers)
        return _tokenized(ids, np.array(offsets, np.int64).reshape(-1, 2), answers)

    def _render(self, chat: Chat) -> _Rendered:
        from jinja2 import TemplateError

        messages, tools = [_with_alias(self._guard.hide_in(one)) for one in chat.messages], self._guard.hide(list(map(dict, chat.tools)))
        try:
            text = self._text(messages, tools)
            if missing := left_out(self._text, text, messages, tools):
                return _Rendered("", (), f"the chat template leaves out {missing}")
            marked = text if self._marks else self._mark(text, messages, tools)
        except TemplateError as error:
            return _Rendered("", (), f"the chat template refuses it: {error}")
        parts = re.split(f"([{BEGIN}{END}])", marked)
        answers: list[tuple[int, int]] = []
        plain, begun = "", 0
        for part in parts:
            if part == BEGIN:
                begun = len(plain)
            elif part == END:
                answers.append((begun, len(plain)))
            else:
                plain += part
        learned = [message.get("weight", 1) for message in chat.messages if message["role"] == "assistant"]
        if len(answers) != len(learned):
            return _Rendered("", (), f"the chat template writes {len(answers)} answers of {len(learned)} messages of the assistant")
        return _Rendered(plain, tuple(answer for answer, weight in zip(answers, learned, strict=True) if weight))

    def _mark(self, text: str, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> str:
        """Add marks to a template that has none."""
        from jinja2 import TemplateError

        edges: list[tuple[int, str]] = []
        ends: set[str] = set()
        for number, message in enumerate(messages):
            if message["role"] == "assistant":
                prompt = self._text(messages[:number], tools, reply_next=True)
                other = {**message, "content": OTHER, "tool_calls": []}
                behind = _shared_end(text, self._text([*messages[:number], other, *messages[number + 1 :]], tools))
                stop = self._structure.search(text, max(len(prompt), len(text) - behind)) if self._structure else None
                if not text.startswith(prompt):
                    raise TemplateError("it writes earlier messages anew; put {% generation %} around what the assistant writes")
                if stop is None:
                    raise TemplateError("it writes no special token after a reply, so that a model would never end; add its end token")
                edges += [(len(prompt), BEGIN), (stop.end(), END)]
                ends.add(stop.group())
        if len(ends) > 1:
            raise TemplateError(
                f"it ends replies with {' and '.join(sorted(ends))}; put {{% generation %}} around what the assistant writes"
            )
        for at, mark in reversed(edges):
            text = text[:at] + mark + text[at:]
        return text

    def _text(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]], *, reply_next: bool = False) -> str:
        return self._template.render(messages=messages, tools=tools or None, add_generation_prompt=reply_next, **self._names)

    def _shifted(self, guarded: str, at: int) -> int:
        """The place in the text that a place of the guarded text has once the guarded strings are back."""
        return len(self._guard.restore(guarded[:at]))


def _with_alias(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message with its thinking under the name that most templates know it by, too."""
    return {**message, "reasoning_content": message["thinking"]} if message.get("thinking") else message


def _shared_end(text: str, other: str) -> int:
    """Return how many characters two texts end with alike."""
    pairs = enumerate(zip(reversed(text), reversed(other), strict=False))
    return next((at for at, (one, two) in pairs if one != two), min(len(text), len(other)))


def _tokenized(ids: list[int], offsets: NDArray[np.int64], answers: tuple[tuple[int, int], ...]) -> TokenizedChat:
    """Find the tokens that hold each answer: from the one with its first character to the one with its last."""
    starts, ends = offsets[:, 0], offsets[:, 1]
    ranges = [
        (int(np.searchsorted(ends, begin, side="right")), int(np.searchsorted(starts, end - 1, side="right")))
        for begin, end in answers
        if end > begin
    ]
    return TokenizedChat(np.array(ids, np.int64), tuple(ranges))
