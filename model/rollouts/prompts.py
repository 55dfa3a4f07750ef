"""The questions that replies are sampled to, in the model's chat format."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from model.inference.chat_format import ChatFormat
from model.rewards.answers import Question, messages_of, read_questions


class Prompt(NamedTuple):
    """A question and its tokens, up to where the reply begins."""

    question: Question
    tokens: list[int]


def read_prompts(questions: Path, chat_format: ChatFormat, context: int, max_new_tokens: int) -> list[Prompt]:
    """Encode each question of a JSON lines file; raise ValueError for one that leaves no room for a reply of `max_new_tokens`."""
    prompts = []
    for number, entry in enumerate(read_questions(questions, choices=True), start=1):
        tokens = chat_format.encode_chat(messages_of(entry))
        if len(tokens) > context - max_new_tokens:
            raise ValueError(
                f"{questions}, question {number} is {len(tokens)} tokens in the chat format; with max_new_tokens={max_new_tokens} "
                f"for a reply it does not fit into the context of {context}; lower max_new_tokens"
            )
        prompts.append(Prompt(entry, tokens))
    return prompts
