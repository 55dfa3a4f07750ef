"""Pairs as rows of kind `preference`: both answers follow the same prompt, and the loss covers the answers alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data.shards.metadata import ShardCounts
from data.shards.schema import Array
from data.shards.writer import ShardWriter, token_dtype
from model.inference.chat_format import ChatFormat, ChatFormatError
from model.networks.network import Network
from model.rewards.answers import is_right


@dataclass(frozen=True)
class PairQuestion:
    """A line of the examples' preferences. `prompt`: tokens up to where the reply begins; `answers`: tokens of each known answer."""

    line: int
    entry: Mapping[str, Any]
    prompt: tuple[int, ...]
    answers: Mapping[str, tuple[int, ...]]

    @property
    def chosen(self) -> str:
        """The right answer."""
        return str(self.entry["chosen"])

    @property
    def wrong(self) -> tuple[str, ...]:
        """The wrong answers that the examples name, each once."""
        return tuple(text for text in self.answers if text != self.chosen)

    def is_mistake(self, reply: str) -> bool:
        """Whether a reply is wrong: it is not the right answer, and contains no accepted one."""
        accepted = self.entry.get("answers", ())
        return reply.strip() != self.chosen.strip() and not is_right(reply, accepted)


def read_pair_questions(path: Path, chat_format: ChatFormat, context: int, *, most: int, seed: int) -> tuple[list[PairQuestion], int]:
    """Return at most `most` questions of preferences_*.jsonl, drawn by a hash of (seed, line), in the order of the file.

    Answers that do not fit into `context` with their question are left out; so is a question whose right answer does not fit, or which has
    no wrong one. The second value is the number of questions left out.
    """
    lines = [(number, json.loads(line)) for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1) if line.strip()]
    drawn = sorted(lines, key=lambda numbered: hashlib.sha256(f"{seed}:{json.dumps(numbered[1], sort_keys=True)}".encode()).digest())
    questions = []
    for number, entry in sorted(drawn[:most], key=lambda numbered: numbered[0]):
        prompt = tuple(chat_format.encode_chat(entry["messages"], tools=entry.get("tools", ())))
        texts = dict.fromkeys((entry["chosen"], entry["rejected"], *entry.get("candidates", ())))
        encoded = {text: answer_tokens(chat_format, entry, prompt, text) for text in texts}
        fitting = {text: tokens for text, tokens in encoded.items() if len(prompt) + len(tokens) <= context + 1}
        if entry["chosen"] in fitting and len(fitting) > 1:
            questions.append(PairQuestion(number, entry, prompt, fitting))
    return questions, min(most, len(lines)) - len(questions)


def answer_tokens(chat_format: ChatFormat, entry: Mapping[str, Any], prompt: tuple[int, ...], text: str) -> tuple[int, ...]:
    """Return the tokens of an answer, the one that ends it included; raise ChatFormatError if the prompt is not what precedes it."""
    said = [*entry["messages"], {"role": "assistant", "content": text}]
    whole = chat_format.encode_chat(said, tools=entry.get("tools", ()), reply_next=False)
    if tuple(whole[: len(prompt)]) != prompt:
        raise ChatFormatError("the chat template begins a conversation otherwise once it is answered, so no answer has a probability")
    return tuple(whole[len(prompt) :])


SPLITS = ("train", "val")
VALIDATION_SHARE = 8  # one question for validation for so many for training
PAD = 0


class PairTokens(NamedTuple):
    """The tokens of a prompt, and of each answer with the token that ends it."""

    prompt: Sequence[int]
    chosen: Sequence[int]
    rejected: Sequence[int]


def most_questions(questions: int, split: str) -> int:
    """Return how many questions a split asks, where training asks so many."""
    return questions if split == "train" else max(1, questions // VALIDATION_SHARE)


def write_pair_rows(directory: Path, pairs: Sequence[PairTokens], model: Network, digest: str) -> None:
    """Write a shard directory for the model's context. `digest`: of the tokenizer."""
    width, dtype = model.config.context + 1, token_dtype(model.vocab_size)
    columns: dict[str, Array] = {}
    for side in ("chosen", "rejected"):
        tokens, counted = np.full((len(pairs), width), PAD, dtype=dtype), np.zeros((len(pairs), width), dtype=np.bool_)
        for row, pair in enumerate(pairs):
            prompt, answer = pair.prompt, pair.chosen if side == "chosen" else pair.rejected
            tokens[row, : len(prompt) + len(answer)] = [*prompt, *answer]
            counted[row, len(prompt) : len(prompt) + len(answer)] = True
        columns |= {side: tokens, f"{side}_loss": counted}
    writer = ShardWriter(directory, shard_rows=8192)
    if pairs:
        writer.add(columns)
    targets = sum(int(np.count_nonzero(columns[f"{side}_loss"])) for side in ("chosen", "rejected"))
    filled = targets + 2 * sum(len(pair.prompt) for pair in pairs)
    counts = ShardCounts(tokens=filled, targets=targets)
    writer.close("preference", sequence_length=width - 1, tokenizer_digest=digest, vocab_size=model.vocab_size, counts=counts)
