"""Conversations to token ids, and ids to text, from a tokenizer directory alone.

Content never becomes structure: a message that contains "<|end|>" is encoded as those characters, and only the template's own special
tokens get special ids. For other messages the ids equal those of `transformers`' apply_chat_template on the same directory. The template
runs in Jinja's sandbox.

To ensure this, special tokens in messages are hidden while the template is rendered. The template may place contents but not rewrite them:
it is rendered with a placeholder for each content first, and one that drops a message is refused.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from data.shards.chat_template import Guard, TemplateLimitError, parse_template
from data.shards.model_folder import ModelError, present, read_json, read_text, read_tokenizer, token_ids, token_text
from data.shards.pictures import divide
from model.inference.reply import TextStream

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Message = Mapping[str, Any]
NOTHING: Mapping[str, Sequence[int]] = MappingProxyType({})
STOP_NAMES = ("<|end|>",)
WHOLE = "chat needs the tokenizer's whole directory"
ROLES_FILE = "token_roles.json"
_PLACEHOLDER = re.compile("\ue000(\\d+)\ue001")


class ChatFormatError(ModelError):
    """A tokenizer directory lacks what chat needs, or its template refuses the messages."""


class ChatFormat:
    """A tokenizer directory, opened for chat.

    stop_ids: the tokens that end a reply (end of message, end of document). digest: SHA-256 of tokenizer.json, which models are bound to.
    """

    def __init__(self, directory: Path) -> None:
        directory = Path(directory)
        self._settings, self._file = directory / "tokenizer_config.json", directory / "chat_template.jinja"
        config = read_json(self._settings, lacking=WHOLE)
        content, tokenizer = read_tokenizer(directory / "tokenizer.json", lacking=WHOLE)
        self.digest = hashlib.sha256(content).hexdigest()
        self.tokenizer: Tokenizer = tokenizer
        # Encode special tokens in text as plain characters; they enter only by id.
        self.tokenizer.encode_special_tokens = True
        self._special = {token.content: number for number, token in self.tokenizer.get_added_tokens_decoder().items() if token.special}
        self._guard = Guard(self._special)
        named = {name: token_text(self._settings, name, config.get(name)) for name in ("bos_token", "eos_token", "pad_token")}
        self._names = {name: token for name, token in named.items() if token}
        roles = _roles(directory)
        self.bos_id = roles["document_begin"] if roles else self._id("bos_token")
        self.pad_id: int | None = roles["padding"] if roles else self.tokenizer.token_to_id("<|pad|>")
        stops = {self._id("eos_token"), *(self._special[n] for n in STOP_NAMES if n in self._special)}
        self._template = parse_template(read_text(self._file, lacking=WHOLE), self._file)
        self.stop_ids = frozenset({*stops, roles["document_end"], *self._closing()} if roles else stops)

    def encode_text(self, text: str, pictures: Mapping[str, Sequence[int]] = NOTHING) -> list[int]:
        """Return the ids of plain text; special tokens are neither added nor recognized. `pictures`: those that it may name, by name."""
        ids: list[int] = []
        for words, name in divide(text, pictures):
            ids += pictures[name] if name else self.tokenizer.encode(words, add_special_tokens=False).ids
        return ids

    def encode_document(self, text: str, pictures: Mapping[str, Sequence[int]] = NOTHING) -> list[int]:
        """Return the ids of the beginning of a document: the begin token, then the text."""
        return [self.bos_id, *self.encode_text(text, pictures)]

    def encode_chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Message] = (),
        reply_next: bool = True,
        pictures: Mapping[str, Sequence[int]] = NOTHING,
    ) -> list[int]:
        """Return the ids of a conversation of {"role", "content"}; with `reply_next`, up to where the assistant's reply begins.

        `pictures`: the tokens of those that contents may name, by name (see `data.shards.pictures`); other such names are words.
        What else the template knows of a message, such as `thinking` and `tool_calls`, and descriptions of tools are told, too.
        """
        marked = [{**message, "content": f"\ue000{number}\ue001"} for number, message in enumerate(messages)]
        placed = [int(number) for number in _PLACEHOLDER.findall(self._render(marked, tools, reply_next))]
        if placed != list(range(len(messages))):
            raise ChatFormatError(f"the chat template places messages {placed} of {len(messages)}; it must place each once, in order")
        return self._encode_structure(self._render([dict(message) for message in messages], tools, reply_next), pictures)

    @property
    def special_names(self) -> frozenset[str]:
        """The special tokens, as they are written."""
        return frozenset(self._special)

    def render(self, messages: Sequence[Message], tools: Sequence[Message] = ()) -> str:
        """Return a conversation as the template writes it, for looking at; special tokens in messages are guarded."""
        return self._render(messages, tools, False)

    def _render(self, messages: Sequence[Message], tools: Sequence[Message], reply_next: bool) -> str:
        """Render the template around messages whose special tokens are guarded."""
        from jinja2 import TemplateError

        told = {"messages": list(map(self._guard.hide_in, messages)), "tools": self._guard.hide(list(tools)) or None}
        try:
            return self._template.render({**told, "add_generation_prompt": reply_next, **self._names})
        except TemplateError as error:
            raise ChatFormatError(f"the chat template refuses these messages: {error}") from error

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, without special tokens."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def stream(self, text: Sequence[int] = ()) -> TextStream:
        """Return a decoder for one streamed reply, or for what goes on a text of these ids."""
        return TextStream(self.tokenizer, text)

    def decode_behind(self, text: Sequence[int], ids: Sequence[int]) -> str:
        """Return the text of ids that go on a text, without special tokens."""
        stream = self.stream(text)
        return "".join([*map(stream.push, ids), stream.finish()])

    def _encode_structure(self, text: str, pictures: Mapping[str, Sequence[int]]) -> list[int]:
        """Encode rendered text: the template's special tokens by id, the rest as text, with what was guarded in it."""
        if not self._special:
            return self.encode_text(self._guard.restore(text), pictures)
        names = sorted(self._special, key=len, reverse=True)
        ids: list[int] = []
        for part in re.split("(" + "|".join(map(re.escape, names)) + ")", text):
            ids += [self._special[part]] if part in self._special else self.encode_text(self._guard.restore(part), pictures)
        return ids

    def _closing(self) -> list[int]:
        """Return the special token that a template from elsewhere writes after a reply, which may be another than eos_token."""
        from jinja2 import TemplateError

        messages = [{"role": role, "content": f"\ue000{n}\ue001"} for n, role in enumerate(("user", "assistant"))]
        try:
            _, _, after = self._template.render({"messages": messages, **self._names}).partition("\ue0001\ue001")
        except TemplateLimitError as error:
            raise ChatFormatError(f"{self._file} does not end for two messages: {error}; fetch the model again") from error
        except TemplateError:
            return []
        places = {after.find(name): number for name, number in self._special.items() if name in after}
        return [places[min(places)]] if places else []

    def _id(self, name: str) -> int:
        token = self._names.get(name)
        if token not in self._special:
            raise ChatFormatError(
                f"{self._settings}: {name} is {token!r}, which is not a special token of tokenizer.json; fit the tokenizer again"
            )
        return self._special[token]


def _roles(directory: Path) -> dict[str, int]:
    """Return which tokens of a tokenizer from elsewhere begin and end documents and fill rows; nothing for one of folio's own."""
    path = directory / ROLES_FILE
    return token_ids(path, ("document_begin", "document_end", "padding")) if present(path) else {}
