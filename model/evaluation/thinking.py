"""Measure how much thinking tokens improve answers: by budget, by majority vote over several attempts, and by a reward model's favourite.

A budget limits the thinking tokens: if thinking has not ended by then, the closing marker is inserted and the answer follows.
A budget of 0 closes the thinking before it begins; budgets are capped by the context. A vote samples several attempts, each with
the largest budget, and takes the most frequent answer; ties go to the first. Answers are compared by their first sentence, regardless of
case; programs and problems of reasoning-gym as a whole. The best of several is the attempt that a reward model scores highest.

Guarantee: the same model, questions and config give the same numbers for the same number of threads. Cost: an answer to each question for
each budget, and as many as all numbers of votes and of attempts to choose from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from model.evaluation.config import ThinkingConfig
from model.inference.chat import best_of
from model.inference.config import SamplingConfig
from model.inference.generation import sample_batch
from model.rewards.answers import THINKING, Question, answer_of, first_sentence, messages_of, read_questions
from model.rewards.kinds import is_solved
from model.seeds import draw_seed

if TYPE_CHECKING:
    from model.inference.chat import Judge
    from model.inference.chat_format import ChatFormat
    from model.networks.decoding import DecodingNetwork


class Attempt(NamedTuple):
    """A reply, how many tokens it took, and these."""

    text: str
    tokens: int
    ids: tuple[int, ...] = ()

    @property
    def answer(self) -> str:
        """The first answer after thinking, as votes compare it."""
        return first_sentence(answer_of(self.text)).casefold()


def measure_thinking(
    network: DecodingNetwork, chat_format: ChatFormat, examples: Path, config: ThinkingConfig, judge: Judge | None = None
) -> dict[str, float]:
    """Return the share answered right, `thinking.budget_<tokens>`, `thinking.majority_<attempts>` and `thinking.best_<attempts>`.

    Each has `_tokens`, those spent on average. `judge`: what takes the best; needed if the config asks for it. Raise ValueError if it is
    missing, or if a question leaves no room for an answer in the context.
    """
    if config.best and judge is None:
        raise ValueError(f"thinking.best={list(config.best)} needs a reward model, and none was given; give one, or leave best out")
    questions = read_questions(examples / f"questions_{config.questions}.jsonl")
    metrics: dict[str, float] = {}
    for budget in config.budgets:
        attempts = attempt(network, chat_format, questions, budget, config)
        metrics |= _measured(f"thinking.budget_{budget}", questions, [[one] for one in attempts])
    for votes in config.votes:
        tries = [attempt(network, chat_format, questions, config.budgets[-1], config, number) for number in range(votes)]
        metrics |= _measured(f"thinking.majority_{votes}", questions, list(map(list, zip(*tries, strict=True))))
    if judge is not None:
        for count in config.best:
            tries = [attempt(network, chat_format, questions, config.budgets[-1], config, number) for number in range(count)]
            grouped = list(map(list, zip(*tries, strict=True)))
            metrics |= _measured(f"thinking.best_{count}", questions, grouped, _favourites(judge, chat_format, questions, grouped))
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
    prompts = [chat_format.encode_chat(messages_of(question)) for question in questions]
    opened, closed = (chat_format.encode_text(text) for text in (f"{THINKING[0]}\n", f"\n{THINKING[1]}\n\n"))
    temperature = 0.0 if number is None else config.temperature

    def continued(starts: Mapping[int, list[int]], tokens: int, part: int) -> dict[int, list[int]]:
        seeds = [draw_seed(config.seed, place, number or 0, part) for place in starts]
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
    return [Attempt(chat_format.decode(tokens), len(tokens), tuple(tokens)) for tokens in whole]


def _measured(
    name: str, questions: Sequence[Question], tries: Sequence[Sequence[Attempt]], chosen: Sequence[Attempt] | None = None
) -> dict[str, float]:
    """Return the share of questions of which one attempt is right, and the tokens that all attempts at one took on average.

    `chosen`: that attempt of each; None: the one with the most frequent answer.
    """
    asked = list(zip(questions, tries, strict=True))
    taken = chosen or [_elected(attempts, whole="trials" in question or "entry" in question) for question, attempts in asked]
    right = [is_solved(one.text, question) for question, one in zip(questions, taken, strict=True)]
    spent = [sum(one.tokens for one in attempts) for attempts in tries]
    return {name: float(np.mean(right)), f"{name}_tokens": float(np.mean(spent))}


def _elected(attempts: Sequence[Attempt], *, whole: bool = False) -> Attempt:
    """Return the first attempt with the most frequent answer; `whole`: the whole answer, not its first sentence."""
    answers = [answer_of(one.text).strip() if whole else one.answer for one in attempts]
    ((answer, _),) = Counter(answers).most_common(1)
    return attempts[answers.index(answer)]


def _favourites(judge: Judge, chat_format: ChatFormat, questions: Sequence[Question], tries: Sequence[Sequence[Attempt]]) -> list[Attempt]:
    """Return of each question's attempts the one that the judge scores highest."""
    favourites = []
    for question, attempts in zip(questions, tries, strict=True):
        prompt = chat_format.encode_chat(messages_of(question))
        favourites.append(attempts[best_of(judge.scores([[*prompt, *one.ids] for one in attempts]))])
    return favourites
