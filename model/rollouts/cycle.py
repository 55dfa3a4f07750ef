"""The rollouts of one cycle: sampled replies, their rewards, and the rows that the objective learns from.

    cycle-000000/shards.json, 00000.arrow   a row for each reply: prompt and reply, which tokens were drawn and with what log-probability,
                                            the reward, whole and by name, what the verifier says, and mean and standard deviation of the
                                            rewards of its group
    cycle-000000/replies.jsonl              the same for people: question, reply, rewards

Guarantee: a folder of this name is complete and flushed to disk, because it is written under another name and renamed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from data.shards.durable import commit_folder
from data.shards.metadata import ShardCounts
from data.shards.reader import ShardReader
from data.shards.schema import Array, ShardError
from data.shards.writer import write_shards
from model.inference.chat_format import ChatFormat
from model.inference.config import SamplingConfig
from model.inference.generation import Completion
from model.loading.order import Indices
from model.objectives.grpo import REWARD, VERIFIED
from model.rewards.answers import Question, messages_of, read_questions

if TYPE_CHECKING:
    from torch import Tensor


class Policy(Protocol):
    """The current model, on all workers. Every method is a collective: every worker calls it."""

    @property
    def is_first(self) -> bool:
        """Whether this is the one worker that writes."""
        ...

    def sample(
        self, prompts: Sequence[Sequence[int]], seeds: Sequence[int], config: SamplingConfig, stop_ids: frozenset[int]
    ) -> list[Completion]:
        """Return a completion of each prompt, in order, on every worker; each follows from its prompt and seed, up to rounding."""
        ...

    def cached(self, batches: Iterable[tuple[Sequence[int], Mapping[str, Tensor]]], rows: int, columns: int) -> NDArray[Any]:
        """Return what the objective's `cache` says of all rows, fp64 [rows, columns], on every worker.

        `batches`: this worker's, each with its rows' numbers; equally many on every worker. No numbers: computed, not kept.
        """
        ...

    def wait(self) -> None:
        """Wait until all workers have come here."""
        ...


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


KIND = "rollout"
PAD = 0
REPLIES = "replies.jsonl"
JUDGED = "model"  # what the reward of a reward model is called among the others


class TokenizerBinding(NamedTuple):
    """The tokenizer that tokens are of: SHA-256 of tokenizer.json, and its vocabulary's size."""

    digest: str
    vocab_size: int


class Rollout(NamedTuple):
    """A reply to a prompt, as sampled and as text, with its weighted rewards by name and a verifier's score."""

    prompt: Prompt
    group: int
    completion: Completion
    text: str
    rewards: dict[str, float]
    verified: float | None = None

    @property
    def reward(self) -> float:
        """The sum of its weighted rewards."""
        return sum(self.rewards.values())


def open_cycle(folder: Path, tokenizer: TokenizerBinding) -> ShardReader | None:
    """Return the rows of a complete cycle; None if there is none. Raise ShardError if they are damaged or of another tokenizer."""
    if not folder.exists():
        return None
    reader = ShardReader(folder)
    reader.verify()
    reader.expect(*tokenizer)
    if reader.metadata.kind != KIND:
        raise ShardError(f"{folder} holds {reader.metadata.kind} rows, not rollouts; remove {folder.parent.parent} to start afresh")
    return reader


def write_cycle(folder: Path, rollouts: Sequence[Rollout], rows: dict[str, Array], tokenizer: TokenizerBinding) -> None:
    """Write `folder`, complete or not at all. `rows`: those of the rollouts, each as wide as the widest may be."""
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    width = rows["tokens"].shape[1]
    drawn = int(np.count_nonzero(rows["loss"]))
    counts = ShardCounts(tokens=sum(len(rollout.prompt.tokens) for rollout in rollouts) + drawn, targets=drawn)
    digest, vocab_size = tokenizer
    write_shards(partial, KIND, rows, sequence_length=width - 1, tokenizer_digest=digest, vocab_size=vocab_size, counts=counts)
    _write_replies(partial / REPLIES, rollouts, rows)
    commit_folder(partial, folder)


def columns(rollouts: Sequence[Rollout], width: int, token_type: np.dtype[np.unsignedinteger]) -> dict[str, Array]:
    """Return the rows of rollouts: per token [rows, width], per reply [rows].

    `loss` is true for the tokens of the reply, its stop token included. A group's deviation is that of a sample (divided by n - 1), and
    exactly 0 where all earned the same, whatever rounding makes of their mean.
    """
    count = len(rollouts)
    tokens = np.full((count, width), PAD, dtype=token_type)
    drawn = np.zeros((count, width), dtype=np.bool_)
    log_probability = np.zeros((count, width), dtype=np.float32)
    for row, rollout in enumerate(rollouts):
        start = len(rollout.prompt.tokens)
        end = start + len(rollout.completion.tokens)
        tokens[row, :end] = [*rollout.prompt.tokens, *rollout.completion.tokens]
        drawn[row, start:end] = True
        log_probability[row, start:end] = rollout.completion.log_probabilities
    group = np.array([rollout.group for rollout in rollouts], dtype=np.int32)
    reward = np.array([rollout.reward for rollout in rollouts], dtype=np.float64)
    mean, deviation = np.empty_like(reward), np.empty_like(reward)
    for number in np.unique(group).tolist():
        same = group == number
        mean[same], deviation[same] = reward[same].mean(), reward[same].std(ddof=1) if np.ptp(reward[same]) else 0.0
    numbers = {"reward": reward, "group_mean": mean, "group_deviation": deviation}
    single = {name: values.astype(np.float32) for name, values in numbers.items()}
    apart = {f"{REWARD}{name}": np.array([each.rewards[name] for each in rollouts], dtype=np.float32) for name in rollouts[0].rewards}
    if rollouts[0].verified is not None:
        apart[VERIFIED] = np.array([each.verified for each in rollouts], dtype=np.float32)
    return {"tokens": tokens, "loss": drawn, "log_probability": log_probability, "group": group, **single, **apart}


def lengths(rows: Mapping[str, Array]) -> Indices:
    """Return the tokens of each row up to the last of its reply; int64 [rows]."""
    drawn = rows["loss"]
    ends: Indices = drawn.shape[1] - drawn[:, ::-1].argmax(axis=1)
    return ends


def _write_replies(path: Path, rollouts: Sequence[Rollout], rows: dict[str, Array]) -> None:
    """Write a line of JSON for each reply, with its rewards as the rows have them: a reward model's may have been added."""
    lines = []
    for row, rollout in enumerate(rollouts):
        question, ended = rollout.prompt.question, rollout.completion.ended
        said = {"question": question["question"], "fact": question["fact"], "reply": rollout.text, "ended": ended}
        verified = {} if rollout.verified is None else {VERIFIED: rollout.verified}
        judged = {JUDGED: float(rows[f"{REWARD}{JUDGED}"][row])} if f"{REWARD}{JUDGED}" in rows else {}
        earned = {"reward": float(rows["reward"][row]) if judged else rollout.reward, "rewards": {**rollout.rewards, **judged}}
        lines.append(json.dumps({**said, **earned, **verified}, ensure_ascii=False) + "\n")
    path.write_text("".join(lines), encoding="utf-8")
