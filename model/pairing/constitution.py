"""Make preference pairs by principles: the model answers, a critic says how the answer breaks a principle, and revises it.

The revision is preferred to the first answer (constitutional AI, Bai et al. 2022; here without their few-shot examples). What can't be used
is set aside with its reason and counted: nothing said, cut off at `max_new_tokens`, withheld, no room in the context, a revision that
repeats a request or the critique, or that changes nothing.

Guarantee: conversations, principles and seeds follow from the config's seed alone. With the model as its own critic the same model,
examples and config give the same bytes for the same number of threads; another critic is as repeatable as its address. Cost: sampling an
answer, and `rounds` times a critique and a revision, for each question.

Files: preference/train, preference/val (shard directories); pairs_train.jsonl, pairs_val.jsonl (the same for people, with each critique,
marked as synthetic); set_aside.jsonl.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from model.hardware.transfers import torch_threads
from model.inference.chat_format import ChatFormat
from model.inference.config import SamplingConfig
from model.inference.generation import sample_batch
from model.inference.open_model import open_model
from model.networks.directory import require_tokenizer
from model.networks.network import Network
from model.pairing.config import ConstitutionPairs, Principle
from model.pairing.critics import Critic, Messages, Reply, build_critic, judged
from model.pairing.rows import SPLITS, PairTokens, answer_tokens, most_questions, write_pair_rows
from model.seeds import draw_seed

PLAIN_ROLES = frozenset({"system", "user", "assistant"})
ANSWER, CRITIQUE, REVISION = range(3)  # what is sampled


@dataclass
class Draft:
    """An answer on its way to a pair. `reason`: why it is set aside; empty: it isn't. `rounds`: what was asked and said of it."""

    line: int
    entry: Mapping[str, Any]
    messages: Messages
    prompt: tuple[int, ...]
    first: str = ""
    revised: str = ""
    reason: str = ""
    rounds: list[dict[str, str]] = field(default_factory=list)


def revise_by_principles(
    model_dir: Path, tokenizer: Path, conversations: Path, output: Path, config: ConstitutionPairs, *, threads: int, journal: Path
) -> dict[str, float]:
    """Write pairs for conversations of `conversations/instructions_{train,val}.jsonl` into `output`.

    journal: where replies of an address are kept until the stage is done.
    Return metrics with the split as prefix: questions, pairs, set_aside, and set_aside.REASON for each reason there was.
    Raise ValueError if no pair for training is left, and EndpointError for an address that does not answer.
    """
    chat_format, model = ChatFormat(tokenizer), open_model(model_dir)
    require_tokenizer(model_dir, chat_format.digest)
    output.mkdir(parents=True, exist_ok=True)
    metrics: dict[str, float] = {}
    with torch_threads(threads), (output / "set_aside.jsonl").open("w", encoding="utf-8") as aside:
        critic = build_critic(config, model, chat_format, journal)
        for split in SPLITS:
            file, most = conversations / f"instructions_{split}.jsonl", most_questions(config.questions, split)
            drafts = read_drafts(file, chat_format, most=most, seed=config.seed)
            _answer(drafts, model, chat_format, config)
            for number in range(config.rounds):
                _revise(drafts, critic, config, number)
            pairs = _pairs(drafts, model, chat_format)
            write_pair_rows(output / "preference" / split, [tokens for _, tokens in pairs], model, chat_format.digest)
            made = [_line(draft, critic.name) for draft, _ in pairs]
            (output / f"pairs_{split}.jsonl").write_text("".join(made), encoding="utf-8")
            reasons = Counter(draft.reason for draft in drafts if draft.reason)
            aside.writelines(_aside(draft, split) for draft in drafts if draft.reason)
            counts = {"questions": len(drafts), "pairs": len(pairs), "set_aside": reasons.total()}
            counts |= {f"set_aside.{reason}": count for reason, count in sorted(reasons.items())}
            metrics |= {f"{split}_{name}": float(count) for name, count in counts.items()}
            if split == "train" and not pairs:
                told = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in reasons.most_common()) or "there were none"
                raise ValueError(f"no answer to {len(drafts)} questions became a pair: {told}; change principles or max_new_tokens")
    return metrics


def read_drafts(path: Path, chat_format: ChatFormat, *, most: int, seed: int) -> list[Draft]:
    """Return the beginnings of at most `most` conversations, up to the first answer, drawn by a hash of (seed, text), in the file's order.

    Those with tools are not drawn: a revised answer would have to call them again.
    """
    drafts = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        entry = json.loads(line) if line.strip() else {"messages": []}
        before = takewhile(lambda message: message["role"] != "assistant", entry["messages"])
        messages = [{"role": message["role"], "content": message["content"]} for message in before]
        plain = not entry.get("tools") and all(message["role"] in PLAIN_ROLES for message in entry["messages"])
        if messages and plain:
            drafts.append(Draft(number, entry, messages, tuple(chat_format.encode_chat(messages))))
    # Several conversations may begin alike.
    once = {json.dumps(draft.messages, sort_keys=True): draft for draft in reversed(drafts)}
    drawn = sorted(once, key=lambda text: hashlib.sha256(f"{seed}:{text}".encode()).digest())[:most]
    return sorted((once[text] for text in drawn), key=lambda draft: draft.line)


def _answer(drafts: Sequence[Draft], model: Network, chat_format: ChatFormat, config: ConstitutionPairs) -> None:
    """Sample the first answers."""
    for draft in drafts:
        draft.reason = "" if len(draft.prompt) < model.config.context else "answer_too_long"
    asked = [draft for draft in drafts if not draft.reason]
    sampling = SamplingConfig(temperature=config.temperature, max_new_tokens=config.max_new_tokens)
    seeds = [draw_seed(config.seed, draft.line, 0, ANSWER) for draft in asked]
    said = sample_batch(model.decoding(), [draft.prompt for draft in asked], seeds, sampling, chat_format.stop_ids)
    for draft, completion in zip(asked, said, strict=True):
        reply = judged(chat_format.decode(completion.tokens), ended=completion.ended)
        draft.first = draft.revised = reply.text
        draft.reason = f"answer_{reply.problem}" if reply.problem else ""


def _revise(drafts: Sequence[Draft], critic: Critic, config: ConstitutionPairs, number: int) -> None:
    """Have all answers that are not set aside criticized and revised once more, each by a principle of its own."""
    asked = [draft for draft in drafts if not draft.reason]
    principles = {draft.line: principle_of(draft.line, number, config) for draft in asked}
    talks = {
        draft.line: [*draft.messages, _said("assistant", draft.revised), _said("user", principles[draft.line].critique)] for draft in asked
    }

    def replies(kind: int, wanted: Sequence[Draft]) -> list[Reply]:
        seeds = [draw_seed(config.seed, draft.line, number, kind) for draft in wanted]
        return critic.replies([talks[draft.line] for draft in wanted], seeds)

    for draft, critique in zip(asked, replies(CRITIQUE, asked), strict=True):
        draft.reason = f"critique_{critique.problem}" if critique.problem else ""
        draft.rounds.append({"critique_request": principles[draft.line].critique, "critique": critique.text})
        talks[draft.line] += [_said("assistant", critique.text), _said("user", principles[draft.line].revision)]
    asked = [draft for draft in asked if not draft.reason]
    for draft, revision in zip(asked, replies(REVISION, asked), strict=True):
        draft.reason = f"revision_{revision.problem}" if revision.problem else ""
        draft.rounds[-1] |= {"revision_request": principles[draft.line].revision, "revision": revision.text}
        if not draft.reason and _alike(
            revision.text, *(draft.rounds[-1][name] for name in ("critique_request", "critique", "revision_request"))
        ):
            draft.reason = "revision_repeats"
        draft.revised = revision.text


def principle_of(line: int, number: int, config: ConstitutionPairs) -> Principle:
    """Return the principle of a round; none comes twice before each has come once."""
    order = np.random.default_rng(draw_seed(config.seed, line)).permutation(len(config.principles))
    return config.principles[int(order[number % len(order)])]


def _pairs(drafts: Sequence[Draft], model: Network, chat_format: ChatFormat) -> list[tuple[Draft, PairTokens]]:
    """Return what can be learned from; set the rest aside."""
    found = []
    for draft in drafts:
        if draft.reason:
            continue
        chosen, rejected = (
            answer_tokens(chat_format, {"messages": draft.messages}, draft.prompt, text) for text in (draft.revised, draft.first)
        )
        if draft.revised.split() == draft.first.split():
            draft.reason = "unchanged"
        elif len(draft.prompt) + max(len(chosen), len(rejected)) > model.config.context + 1:
            draft.reason = "revision_too_long"
        else:
            found.append((draft, PairTokens(draft.prompt, chosen, rejected)))
    return found


def _alike(text: str, *others: str) -> bool:
    """Whether a text has the words of another, whatever the case, marks and space."""
    words, *rest = ("".join(character if character.isalnum() else " " for character in one.casefold()).split() for one in (text, *others))
    return words in rest


def _said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _line(draft: Draft, critic: str) -> str:
    pair = {"messages": draft.messages, "chosen": draft.revised, "rejected": draft.first, "critic": critic}
    return _written(draft, pair)


def _aside(draft: Draft, split: str) -> str:
    told = {"split": split, "line": draft.line, "reason": draft.reason, "messages": draft.messages, "answer": draft.first}
    return _written(draft, told)


def _written(draft: Draft, told: Mapping[str, object]) -> str:
    """Return a line, with the books that the conversation names and the mark of what is generated."""
    books = {"books": draft.entry["books"]} if "books" in draft.entry else {}
    return json.dumps({**books, **told, "synthetic": True, "rounds": draft.rounds}, ensure_ascii=False) + "\n"
