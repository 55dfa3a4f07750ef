"""A conversation with a model: what `folio chat` talks to.

Guarantee: opens any exported directory, full precision or INT8. Text comes in whole characters as it is made. The
history holds exactly what was said, also when the listener stops in the middle of a reply.
Cost: each turn computes its whole prompt again; a thousand tokens are well under a second for a small model.

What is forgotten, and when: a reply has `max_new_tokens` of room, or half of the context where that is less. While the
conversation does not fit into what remains, its oldest message after the system message is left out of the prompt, and
with it the answers that follow up to the next user message. The history itself keeps everything. A system message and
a last message that alone do not fit raise ValueError with the figures.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from model.inference.chat_format import ChatFormat, Message
from model.inference.config import SamplingConfig

if TYPE_CHECKING:
    from model.networks.decoder import Decoder


class ChatModel:
    """A model, its chat format, and one conversation's history."""

    def __init__(self, model: Decoder, chat_format: ChatFormat, system: str | None = None) -> None:
        self.model = model
        self.format = chat_format
        self.system = system
        self.history: list[dict[str, str]] = []
        self.reset()

    @classmethod
    def open(cls, directory: Path, *, tokenizer: Path | None = None, system: str | None = None) -> ChatModel:
        """Load an exported directory; `tokenizer` names the tokenizer's directory where it lies elsewhere."""
        from model.inference.open_model import open_model
        from model.networks.binding import expect_tokenizer

        chat_format = ChatFormat(tokenizer or directory)
        expect_tokenizer(directory, chat_format.digest)
        return cls(open_model(directory), chat_format, system)

    def reset(self) -> None:
        """Forget the conversation; the system message stays."""
        self.history = [{"role": "system", "content": self.system}] if self.system else []

    def say(self, text: str, config: SamplingConfig, seed: int = 0) -> Generator[str, None, None]:
        """Say `text`; yields the reply piece by piece and adds both to the history."""
        asked = [*self.history, {"role": "user", "content": text}]
        pieces = self.stream(asked, config, seed)
        self.history = asked
        said: list[str] = []
        try:
            for piece in pieces:
                said.append(piece)
                yield piece
        finally:
            self.history.append({"role": "assistant", "content": "".join(said)})

    def stream(self, messages: Sequence[Message], config: SamplingConfig, seed: int = 0) -> Generator[str, None, None]:
        """The reply to these messages, piece by piece; no history is read or kept. Errors come before the first piece."""
        prompt = fit_prompt(self.format, messages, self.model.config.context, config.max_new_tokens)
        return self._pieces(prompt, config, seed)

    def _pieces(self, prompt: list[int], config: SamplingConfig, seed: int) -> Generator[str, None, None]:
        from model.inference.generation import generate

        stream = self.format.stream()
        for token in generate(self.model, prompt, config, self.format.stop_ids, seed):
            if piece := stream.push(token):
                yield piece
        if rest := stream.finish():
            yield rest


def fit_prompt(chat_format: ChatFormat, messages: Sequence[Message], context: int, max_new_tokens: int) -> list[int]:
    """Ids of as much of the conversation as leaves room for a reply; the rule is at the head of this module."""
    room = context - min(max_new_tokens, context // 2)
    kept = list(messages)
    head = 1 if kept and kept[0]["role"] == "system" else 0
    while len(ids := chat_format.encode_chat(kept)) > room:
        following = [n for n in range(head + 1, len(kept)) if kept[n]["role"] == "user"]
        if not following:
            raise ValueError(
                f"the message is {len(ids)} tokens with its frame, and {room} of the context's {context} are left for it "
                f"beside a reply; say it in fewer words"
            )
        kept = kept[:head] + kept[following[0] :]
    return ids
