"""Measure how much thinking tokens improve answers: by budget, and by majority vote over several attempts.

A budget limits the thinking tokens: if thinking has not ended by then, the closing marker is inserted and the answer follows.
A budget of 0 closes the thinking before it begins; budgets are capped by the context. A vote samples several attempts, each with
the largest budget, and takes the most frequent answer; ties go to the first. Answers are compared by their first
sentence, regardless of case.

Guarantee: the same model, questions and config give the same numbers for the same number of threads. Cost: an answer to each question for
each budget, and as many as the most votes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from model.evaluation.thinking_config import ThinkingConfig
from model.rewards.answers import THINKING, Question, answer_of, first_sentence, is_right, read_questions

if TYPE_CHECKING:
    from model.inference.chat_format import ChatFormat
    from model.networks.decoding import DecodingNetwork


class Attempt(NamedTuple):
    """A reply, and how many tokens it took."""

    text: str
    tokens: int

    @property
    def answer(self) -> str:
        """What it says first after thinking, as votes compare it."""
        return first_sentence(answer_of(self.text)).casefold()


def measure_thinking(network: DecodingNetwork, chat_format: ChatFormat, examples: Path, config: ThinkingConfig) -> dict[str, float]:
    """Return the share answered right, `thinking.budget_<tokens>` and `thinking.majority_<attempts>`, each with `_tokens` spent on average.

    Raise ValueError if a question leaves no room for an answer in the context.
    """
    questions = read_questions(examples / f"questions_{config.questions}.jsonl")
    metrics: dict[str, float] = {}
    for budget in config.budgets:
        attempts = attempt(network, chat_format, questions, budget, config)
        metrics |= _measured(f"thinking.budget_{budget}", questions, [[one] for one in attempts])
    for votes in config.votes:
        tries = [attempt(network, chat_format, questions, config.budgets[-1], config, number) for number in range(votes)]
        metrics |= _measured(f"thinking.majority_{votes}", questions, list(map(list, zip(*tries, strict=True))))
    return metrics


def attempt(
    network: DecodingNetwork,
    chat_format: ChatFormat,
    questions: Sequence[Question],
    budget: int,
    config: ThinkingConfig,
    number: int | None = None,
) -> list[Attempt]:
    """Answer each question with so many tokens of thinking; `number`: of a sampled attempt, None: greedily."""
    from model.inference.config import SamplingConfig
    from model.inference.generation import sample_batch

    prompts = [chat_format.encode_chat([{"role": "user", "content": question["question"]}]) for question in questions]
    opened, closed = (chat_format.encode_text(text) for text in (f"{THINKING[0]}\n", f"\n{THINKING[1]}\n\n"))
    temperature = 0.0 if number is None else config.temperature

    def continued(starts: Mapping[int, list[int]], tokens: int, part: int) -> dict[int, list[int]]:
        seeds = [_seed(config.seed, place, number or 0, part) for place in starts]
        sampling = SamplingConfig(temperature=temperature, max_new_tokens=tokens)
        found = sample_batch(network, list(starts.values()), seeds, sampling, chat_format.stop_ids) if starts else []
        return {place: one.tokens for place, one in zip(starts, found, strict=True)}

    room = network.context - max(map(len, prompts)) - len(opened) - len(closed) - config.answer_tokens
    if room < 0:
        raise ValueError(
            f"a question and an answer of answer_tokens={config.answer_tokens} do not fit into the context of {network.context} tokens; "
            "lower evaluate's thinking.answer_tokens"
        )
    budget = min(budget, room)
    thoughts = continued({place: prompt + opened for place, prompt in enumerate(prompts)}, budget, 0) if budget else {}
    begun, done = list[list[int]](), list[bool]()
    for tokens in (thoughts.get(place, []) for place in range(len(prompts))):
        text = chat_format.decode(tokens)
        done.append(THINKING[1] in text and bool(tokens) and tokens[-1] in chat_format.stop_ids)
        # Finished thinking continues unchanged; unfinished thinking is closed.
        begun.append(opened + tokens if THINKING[1] in text else opened + [t for t in tokens if t not in chat_format.stop_ids] + closed)
    left = [place for place, finished in enumerate(done) if not finished]
    answers = continued({place: prompts[place] + begun[place] for place in left}, config.answer_tokens, 1)
    whole = [tokens + answers.get(place, []) for place, tokens in enumerate(begun)]
    return [Attempt(chat_format.decode(tokens), len(tokens)) for tokens in whole]


def _measured(name: str, questions: Sequence[Question], tries: Sequence[Sequence[Attempt]]) -> dict[str, float]:
    """Return the share of questions whose most frequent answer is right, and the tokens that all attempts at one took on average."""
    right = [is_right(_elected(attempts).text, question["answers"]) for question, attempts in zip(questions, tries, strict=True)]
    spent = [sum(one.tokens for one in attempts) for attempts in tries]
    return {name: float(np.mean(right)), f"{name}_tokens": float(np.mean(spent))}


def _elected(attempts: Sequence[Attempt]) -> Attempt:
    """Return the first attempt with the most frequent answer."""
    ((answer, _),) = Counter(one.answer for one in attempts).most_common(1)
    return next(one for one in attempts if one.answer == answer)


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(list(numbers)).generate_state(1, np.uint64)[0] >> 1)
