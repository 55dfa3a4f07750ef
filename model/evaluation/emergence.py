"""Self-correction and length in thoughts, counted: whether thoughts correct themselves, and are longer on harder questions.

Thoughts are those of greedy answers with the largest budget. One corrects itself if it has a phrase of `CORRECTIONS`; one restates if it
says a sentence again with another end, such as "Ada lives in Oster. Ada lives in Holm.", as a model does that has never read such a phrase.
Neither tells whether the correction is right; `corrected_right` is the share of right answers among both. A question is
as hard as the number of facts that it takes, one after the other, where that is known.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from model.evaluation.config import HOPS, ThinkingConfig
from model.evaluation.intervals import bootstrap_ratio, proportion
from model.evaluation.thinking import attempt
from model.rewards.answers import THINKING, has_phrase, read_questions
from model.rewards.kinds import is_solved

if TYPE_CHECKING:
    from model.inference.chat_format import ChatFormat
    from model.networks.decoding import DecodingNetwork

CORRECTIONS = (
    *("wait", "actually", "on second thought", "let me check", "let me see again", "check again", "think again", "try again"),
    *("that is wrong", "that is not right", "that is not true", "i was wrong", "i am wrong", "my mistake", "correction"),
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
# Sets whose questions take one fact, which their lines do not say.
SINGLE = ("seen", "heldout")


class Thought(TypedDict):
    """What was thought about a question: how long, the facts that the question takes (0: not known), and how it corrects itself."""

    set: str
    question: str
    hops: int
    thought: str
    tokens: int
    corrections: list[str]
    restated: bool
    right: bool


def measure_emergence(
    network: DecodingNetwork,
    chat_format: ChatFormat,
    examples: Path,
    config: ThinkingConfig,
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> tuple[dict[str, float], list[Thought]]:
    """Return metrics and all thoughts. The first without those of questions that take so many facts, or of thoughts, where none is.

    `thinking.corrected` and `thinking.restated`: shares of thoughts, with Wilson intervals; `thinking.corrected_right`; of questions that
    take n facts `thinking.tokens_<n>_hops`, of the thought on average, and `thinking.right_<n>_hops`; `thinking.longer_per_hop`: by how
    many tokens a thought is longer for each fact more, a least-squares slope with a bootstrap interval; `thinking.thoughts`: their number.
    """
    thoughts: list[Thought] = []
    for name in config.emergence:
        questions = read_questions(examples / f"questions_{name}.jsonl")
        for question, one in zip(questions, attempt(network, chat_format, questions, config.budgets[-1], config), strict=True):
            thought = thought_of(one.text)
            thoughts.append(
                Thought(
                    set=name,
                    question=question["question"],
                    hops=question.get("hops", 1 if name in SINGLE else 0),
                    thought=thought,
                    tokens=len(chat_format.encode_text(thought)),
                    corrections=corrections_in(thought),
                    restated=restates(thought),
                    right=is_solved(one.text, question),
                )
            )
    return score(thoughts, resamples=resamples, confidence=confidence, seed=seed), thoughts


def score(thoughts: Sequence[Thought], *, resamples: int, confidence: float, seed: int) -> dict[str, float]:
    """Return the metrics of thoughts, as `measure_emergence` names them."""
    metrics = {"thinking.thoughts": float(len(thoughts))}
    corrected = [one for one in thoughts if one["corrections"] or one["restated"]]
    for name, count in (
        ("corrected", sum(bool(one["corrections"]) for one in thoughts)),
        ("restated", sum(one["restated"] for one in thoughts)),
    ):
        metrics |= proportion(count, len(thoughts), confidence).metrics(f"thinking.{name}")
    if corrected:
        metrics["thinking.corrected_right"] = float(np.mean([one["right"] for one in corrected]))
    known = [one for one in thoughts if one["hops"]]
    for hops in HOPS:
        if of_so_many := [one for one in known if one["hops"] == hops]:
            metrics[f"thinking.tokens_{hops}_hops"] = float(np.mean([one["tokens"] for one in of_so_many]))
            metrics[f"thinking.right_{hops}_hops"] = float(np.mean([one["right"] for one in of_so_many]))
    distance = np.array([one["hops"] for one in known], dtype=np.float64)
    if len(set(distance.tolist())) > 1:
        distance -= distance.mean()
        lengths = np.array([one["tokens"] for one in known], dtype=np.float64)
        lengths -= lengths.mean()
        slope = bootstrap_ratio(distance * lengths, distance**2, seed=seed, resamples=resamples, confidence=confidence)
        metrics |= slope.metrics("thinking.longer_per_hop")
    return metrics


def thought_of(reply: str) -> str:
    """Return what a reply says between the markers of thinking; all after the first if there is no end, nothing if it does not think."""
    if not reply.lstrip().startswith(THINKING[0]):
        return ""
    return reply.lstrip().removeprefix(THINKING[0]).partition(THINKING[1])[0].strip()


def corrections_in(thought: str) -> list[str]:
    """Return the phrases of self-correction that a thought has, each once."""
    return [phrase for phrase in CORRECTIONS if has_phrase(thought, phrase)]


def restates(thought: str) -> bool:
    """Return whether a thought says a sentence again with another last word; two words alone do not count."""
    ends: dict[tuple[str, ...], str] = {}
    for sentence in _SENTENCE.split(thought):
        *beginning, last = sentence.casefold().rstrip(".!? ").split() or [""]
        if len(beginning) >= 2 and ends.setdefault(tuple(beginning), last) != last:
            return True
    return False
