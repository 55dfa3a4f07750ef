"""A conversation with a model, as `folio chat` holds it.

It opens any exported directory, full precision or quantized, and streams replies in whole characters. The history holds exactly what was
answered, even if the caller stops in the middle of a reply; what the model thought before is shown to it no more, and a question without an
answer is forgotten. Each turn computes its whole prompt again; a thousand tokens take well under a second with a small model.

Truncation: `max_new_tokens`, or half of the context if that is less, is left free for a reply. While the conversation does not fit into the
rest, the oldest message after the system message is left out of the prompt, together with the replies that follow it up to the next user
message. The history itself keeps everything.

With documents, passages that answer a message stand in its prompt, and `citations` says after a reply what it cited.

With a judge, several replies are sampled to each message, and the one that the judge scores highest is the reply. It comes as a whole."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from data.shards.pictures import Picture
from model.inference.chat_format import NOTHING, ChatFormat, Message
from model.inference.config import SamplingConfig
from model.inference.documents import Citation, Documents, Passage, cited, fits_in, with_passages
from model.inference.generation import generate, sample_batch
from model.inference.open_model import open_model
from model.networks.directory import read_config, require_tokenizer
from model.networks.scalar_heads import load_with_head
from model.objectives.reward_model import HEAD, read_scores, scored_batch
from model.rewards.answers import answer_of
from model.seeds import draw_seed

if TYPE_CHECKING:
    from model.networks.decoding import DecodingNetwork
    from model.networks.network import Network


class ChatModel:
    """A model, its chat format, and one conversation's history."""

    def __init__(self, network: DecodingNetwork, chat_format: ChatFormat, system: str | None = None) -> None:
        self.network = network
        self.format = chat_format
        self.system = system
        self.history: list[dict[str, str]] = []
        self.documents: Documents | None = None
        self.citations: list[Citation] = []
        self._pictures: dict[str, list[int]] = {}
        self._judge: Judge | None = None
        self._attempts = 1
        self.reset()

    @classmethod
    def open(cls, directory: Path, *, tokenizer: Path | None = None, system: str | None = None, adapter: Path | None = None) -> ChatModel:
        """Load an exported directory; `tokenizer` is the tokenizer's directory if it is another one, `adapter` an adapter's folder.

        Raise ValueError, before its weights are read, for a network that writes no text.
        """
        read_config(directory)[0].require_generation()
        chat_format = ChatFormat(tokenizer or directory)
        require_tokenizer(directory, chat_format.digest)
        return cls(open_model(directory, adapter).decoding().prepared(), chat_format, system)

    def choose_by(self, judge: Path, attempts: int) -> None:
        """Let the reward model in this folder choose among so many replies to each message from now on.

        Raise ModelError for a folder that holds none, or one of another tokenizer.
        """
        self._judge, self._attempts = Judge.open(judge, self.format.digest), attempts

    def show(self, picture: Picture) -> str:
        """Let the model see a picture, or hear a sound, wherever a message names it; return what a message names it by.

        Raise ValueError for a model that reads no such thing.
        """
        self._pictures[picture.name] = self.network.see(picture, self.format.pad_id or 0)
        return picture.placeholder

    def reset(self) -> None:
        """Clear the history, except the system message."""
        self.history = [{"role": "system", "content": self.system}] if self.system else []

    def say(self, text: str, config: SamplingConfig, seed: int = 0) -> Generator[str, None, None]:
        """Send `text` as the user; yield the reply as it is generated, and add both to the history, the reply without its thoughts.

        Raise ValueError if the message does not fit into the context; then nothing is added.
        """
        messages = [*self.history, {"role": "user", "content": text}]
        asked: Sequence[Message] = messages
        passages: Sequence[Passage] = ()
        self.citations = []
        if self.documents is not None:
            fits, head = fits_in(self.format, self.network.context, config.max_new_tokens), messages[: bool(self.system)]
            # Older messages give way to passages, as they give way to a long message.
            told, passages = with_passages([*head, messages[-1]], self.documents.retrieve(text), fits)
            asked = [*messages[:-1], told[-1]]
        chunks = self.stream(asked, config, seed)
        reply: list[str] = []
        try:
            for chunk in chunks:
                reply.append(chunk)
                yield chunk
        finally:
            answer = answer_of("".join(reply)).lstrip("\n")
            if self.documents is not None:
                self.citations = cited(answer, text, passages, self.documents.supports)
            if answer:
                self.history = [*messages, {"role": "assistant", "content": answer}]

    def stream(self, messages: Sequence[Message], config: SamplingConfig, seed: int = 0) -> Generator[str, None, None]:
        """Return a generator of the reply to these messages; the history is neither read nor changed.

        Raise ValueError, at the call, if the messages do not fit into the context.
        """
        prompt = fit_prompt(self.format, messages, self.network.context, config.max_new_tokens, pictures=self._pictures)
        return self._chunks(prompt, config, seed) if self._judge is None else self._best(self._judge, prompt, config, seed)

    def _chunks(self, prompt: list[int], config: SamplingConfig, seed: int) -> Generator[str, None, None]:
        stream = self.format.stream()
        for token in generate(self.network, prompt, config, self.format.stop_ids, seed):
            if chunk := stream.push(token):
                yield chunk
        if rest := stream.finish():
            yield rest

    def _best(self, judge: Judge, prompt: list[int], config: SamplingConfig, seed: int) -> Generator[str, None, None]:
        seeds = [draw_seed(seed, number) for number in range(self._attempts)]
        attempts = sample_batch(self.network, [prompt] * self._attempts, seeds, config, self.format.stop_ids)
        chosen = attempts[best_of(judge.scores([[*prompt, *attempt.tokens] for attempt in attempts]))]
        yield self.format.decode(chosen.tokens)


def fit_prompt(
    chat_format: ChatFormat,
    messages: Sequence[Message],
    context: int,
    max_new_tokens: int,
    tools: Sequence[Message] = (),
    pictures: Mapping[str, Sequence[int]] = NOTHING,
) -> list[int]:
    """Return the ids of as much of the conversation as leaves room for a reply, truncated as the module's docstring says.

    `pictures`: the tokens of those that messages may name, by name.
    Raise ValueError if the system message and the last message alone do not fit.
    """
    room = context - min(max_new_tokens, context // 2)
    head = 1 if messages and messages[0]["role"] == "system" else 0

    def encoded(start: int) -> list[int]:
        return chat_format.encode_chat([*messages[:head], *messages[start:]], tools=tools, pictures=pictures)

    if len(ids := encoded(head)) <= room:
        return ids
    # Fewer messages have fewer tokens, so the first beginning that fits is found by bisection.
    starts = [n for n in range(head + 1, len(messages)) if messages[n]["role"] == "user"]
    first = bisect_left(starts, True, key=lambda start: len(encoded(start)) <= room)
    if first < len(starts):
        return encoded(starts[first])
    needed = len(encoded(starts[-1]) if starts else ids)
    raise ValueError(
        f"the message is {needed} tokens in the chat format, but only {room} of the context's {context} are left for it beside a reply; "
        "shorten it"
    )


BATCH = 64


class Judge:
    """A reward model, open. Scores follow from the tokens alone, whatever is scored beside them, up to rounding."""

    def __init__(self, network: Network) -> None:
        self._network = network

    @classmethod
    def open(cls, directory: Path, tokenizer_digest: str) -> Judge:
        """Load a reward model; raise ModelError for a directory that holds none, or one of another tokenizer."""
        require_tokenizer(directory, tokenizer_digest)
        return cls(load_with_head(directory, HEAD))

    @torch.no_grad()
    def scores(self, texts: Sequence[Sequence[int]]) -> list[float]:
        """Return the score of each text, the tokens of a conversation up to the end of the reply that is judged."""
        found: list[float] = []
        for start in range(0, len(texts), BATCH):
            part = texts[start : start + BATCH]
            width = max(map(len, part))
            tokens, flags = np.zeros((len(part), width), dtype=np.int64), np.zeros((len(part), width), dtype=np.bool_)
            for row, text in enumerate(part):
                tokens[row, : len(text)], flags[row, len(text) - 1] = text, True
            batch = {name: torch.from_numpy(values) for name, values in scored_batch(tokens, flags).items()}
            found += read_scores(self._network, batch).tolist()
        return found


def best_of(scores: Sequence[float]) -> int:
    """Return the place of the highest score, of equal ones the first."""
    return max(range(len(scores)), key=lambda place: scores[place])
