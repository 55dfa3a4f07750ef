"""Ask a chat model questions and grade its answers; and probes, the probability of a word after a prompt.

A reply is greedy, and right if its first sentence contains an accepted answer (the rule of `model/rewards/answers.py`), or, where the
question asks for a program or is of reasoning-gym, if that says so. A question that fills the model's context is not asked; it counts as
wrong and is recorded as such.

Probes: the probability of a word after a prompt, at the beginning of a document.

It is the product over the word's tokens, as the tokenizer writes prompt and word together, so it is the probability that the text
continues with these characters, even if they only begin a longer word.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, TypedDict

from data.shards.pictures import PARTS, named_pictures, read_pictures
from model.rewards.answers import answer_of, messages_of, read_questions
from model.rewards.kinds import is_solved

if TYPE_CHECKING:
    from model.inference.chat_format import ChatFormat, Message
    from model.networks.decoding import DecodingNetwork
    from model.networks.network import Network


class Answer(TypedDict):
    """A question with the reply to it and its grade.

    `before`: what was said before it, if anything. `right_later`: the grade after other questions in one conversation.
    """

    question: str
    reply: str
    right: bool
    asked: bool
    answers: list[str]
    fact: str
    before: NotRequired[list[dict[str, str]]]
    right_later: NotRequired[bool]


def ask(
    network: DecodingNetwork, chat_format: ChatFormat, questions: Path, *, answer_tokens: int = 32, batch: int = 128, earlier: int = 0
) -> tuple[float, list[Answer]]:
    """Ask each question of a JSON lines file in a conversation of its own; return the share answered right and a record of each.

    With `earlier` it is asked again as the last of a conversation, behind so many others with the model's own replies; what does not fit
    into the context is left out as chat does. Pictures that questions name are in parts.parquet beside the file.
    """
    entries = read_questions(questions)
    names = {name for entry in entries for message in messages_of(entry) for name in named_pictures(message["content"])}
    shown = show_pictures(network, chat_format, questions.parent / PARTS, names)
    prompts = [chat_format.encode_chat(messages_of(entry), pictures=shown) for entry in entries]
    replies = _replies(network, chat_format, prompts, answer_tokens, batch)
    records = [
        Answer(
            question=entry["question"],
            answers=entry["answers"],
            fact=entry["fact"],
            reply=reply or "",
            right=is_solved(reply or "", entry),
            asked=reply is not None,
        )
        for entry, reply in zip(entries, replies, strict=True)
    ]
    for record, entry in zip(records, entries, strict=True):
        if "before" in entry:
            record["before"] = entry["before"]
    if earlier:
        prompts = [_after_others(chat_format, records, place, earlier, network.context, answer_tokens) for place in range(len(records))]
        later = _replies(network, chat_format, prompts, answer_tokens, batch)
        for record, entry, reply in zip(records, entries, later, strict=True):
            record["right_later"] = is_solved(reply or "", entry)
    return sum(record["right"] for record in records) / len(records), records


def show_pictures(network: DecodingNetwork, chat_format: ChatFormat, parts: Path, names: Collection[str]) -> dict[str, list[int]]:
    """Return the tokens of the named pictures in a file, by name; none for a model that reads none, to which names are words."""
    if network.config.pictures is None or not names:
        return {}
    return {name: network.see(picture, chat_format.pad_id or 0) for name, picture in read_pictures([parts], names).items()}


def _replies(
    network: DecodingNetwork, chat_format: ChatFormat, prompts: Sequence[list[int]], answer_tokens: int, batch: int
) -> list[str | None]:
    """Return the greedy reply to each prompt; None for one that fills the model's context."""
    from model.inference.generation import generate_batch

    fits = [len(prompt) < network.context for prompt in prompts]
    fitting = [prompt for prompt, fit in zip(prompts, fits, strict=True) if fit]
    replies = iter(generate_batch(network, fitting, answer_tokens, chat_format.stop_ids, batch))
    return [chat_format.decode(next(replies)) if fit else None for fit in fits]


def _after_others(
    chat_format: ChatFormat, records: Sequence[Answer], place: int, earlier: int, context: int, answer_tokens: int
) -> list[int]:
    """Return the prompt of a chat that ends with the question at `place`; one that doesn't fit even alone is given as it is."""
    from model.inference.chat import fit_prompt

    # Spread over the file, since neighbouring questions are alike.
    steps = {step * len(records) // (earlier + 1) for step in range(1, earlier + 1)} - {0}
    messages: list[Message] = []
    for other in (records[(place + step) % len(records)] for step in sorted(steps)):
        messages += [*messages_of(other), {"role": "assistant", "content": answer_of(other["reply"]).strip()}]
    asked = messages_of(records[place])
    try:
        return fit_prompt(chat_format, [*messages, *asked], context, answer_tokens)
    except ValueError:
        return chat_format.encode_chat(asked)


def write_records(path: Path, records: Sequence[object]) -> None:
    """Write JSON lines with sorted keys, one record a line."""
    lines = [json.dumps(record, ensure_ascii=False, sort_keys=True) + "\n" for record in records]
    path.write_text("".join(lines), encoding="utf-8")


def probabilities(model: Network, chat_format: ChatFormat, prompt: str, words: Sequence[str]) -> list[float]:
    """Return the probability of each word after `prompt` and a space, at the cost of a forward pass each.

    Raise ValueError if prompt and word share a token, since then P(word | prompt) is not a product of the model's outputs.
    """
    import torch

    prompt_ids = chat_format.encode_document(prompt)
    device = next(model.parameters()).device
    found: list[float] = []
    for word in words:
        ids = chat_format.encode_document(f"{prompt} {word}")
        if ids[: len(prompt_ids)] != prompt_ids or len(ids) == len(prompt_ids):
            raise ValueError(f"{word!r} shares a token with the end of {prompt!r}: end the prompt at the end of a word")
        if len(ids) > model.config.context:
            raise ValueError(f"{prompt!r} and {word!r} are {len(ids)} tokens; the context is {model.config.context}")
        with torch.no_grad():
            logits_TV = model.logits({"tokens": torch.tensor([ids[:-1]], device=device)})[0, len(prompt_ids) - 1 :]
        chosen = torch.tensor(ids[len(prompt_ids) :], device=device)
        logs = logits_TV.double().log_softmax(-1).gather(1, chosen[:, None])
        found.append(float(logs.sum().exp()))
    return found
