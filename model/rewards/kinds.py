"""Rewards of sampled replies: a config tagged by `kind` each, which scores them. Cheap to import: pydantic only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, Protocol

from pydantic import BaseModel, Field, field_validator, model_validator

from data.shards.gym_scores import score_entry
from model.rewards.answers import Question, Trial, answer_of, contains, first_sentence, is_right, numbers

if TYPE_CHECKING:
    import ast


class Reply(NamedTuple):
    """A reply that a model sampled to a question; `ended`: it stopped by itself, not at the limit of its length; `tokens`: its length."""

    question: Question
    text: str
    ended: bool
    tokens: int = 0


class Reward(Protocol):
    """A number for a reply: the larger the better. A function of the reply alone, so rollouts are reproducible."""

    def score(self, reply: Reply) -> float:
        """Return the reward, without its weight."""
        ...


class RewardBase(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Settings common to all rewards. A kind is this with `kind`, its own settings, and what it builds.

    `ASKED`: the sets of questions whose replies it can judge; empty: those of any.
    """

    ASKED: ClassVar[tuple[str, ...]] = ()

    kind: str
    name: str = Field("", pattern=r"^([a-z][a-z0-9_]*)?$", description="what the step log calls it; empty: its kind; name")
    weight: float = Field(1.0, allow_inf_nan=False, description="factor of this reward in the sum of all; negative: a penalty")

    @property
    def label(self) -> str:
        """What it is called."""
        return self.name or self.kind

    def build(self) -> Reward:
        """Return the reward that these settings describe."""
        raise NotImplementedError


class AnswerReward(RewardBase):
    """1 for a reply whose first sentence contains an accepted answer, else 0."""

    kind: Literal["answer"] = Field("answer", description="reward: a right answer")

    def build(self) -> Reward:
        """Return the reward."""
        return RightAnswer()


class RightAnswer:
    """1 if the reply's first sentence contains an accepted answer, else 0: what evaluation counts as right."""

    def score(self, reply: Reply) -> float:
        return float(is_right(reply.text, reply.question["answers"]))


class ConciseReward(RewardBase):
    """1 for a reply of one sentence that the model ended by itself, else 0."""

    kind: Literal["concise"] = Field("concise", description="reward: one sentence, then the end")

    def build(self) -> Reward:
        """Return the reward."""
        return Concise()


class Concise:
    """1 if the reply is one sentence and the model ended it by itself, else 0."""

    def score(self, reply: Reply) -> float:
        text = answer_of(reply.text).strip()
        return float(reply.ended and bool(text) and first_sentence(text) == text)


class FormatReward(RewardBase):
    """1 for a reply that matches a pattern from its beginning to its end, else 0."""

    kind: Literal["format"] = Field("format", description="reward: the form of the reply")
    pattern: str = Field(min_length=1, description="what the whole reply must match, where . matches line ends too; regular expression")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"pattern={pattern!r} is not a regular expression: {error}") from error
        return pattern

    def build(self) -> Reward:
        """Return the reward."""
        return Format(re.compile(self.pattern, re.DOTALL))


@dataclass(frozen=True)
class Format:
    """1 if the whole reply, without whitespace around it, matches, else 0."""

    pattern: re.Pattern[str]

    def score(self, reply: Reply) -> float:
        return float(self.pattern.fullmatch(reply.text.strip()) is not None)


class LengthReward(RewardBase):
    """0 for a reply of up to `limit - allowance` tokens, falling to -1 at `limit`, and -1 beyond."""

    kind: Literal["length"] = Field("length", description="reward: 0 for a short reply, down to -1 for a long one")
    limit: int = Field(ge=1, description="length from which the whole penalty counts; tokens")
    allowance: int = Field(ge=1, description="length below the limit over which the penalty grows from 0; tokens")

    @model_validator(mode="after")
    def _allowance_fits(self) -> LengthReward:
        if self.allowance > self.limit:
            raise ValueError(f"allowance={self.allowance} is more than limit={self.limit}: an empty reply would be punished too; lower it")
        return self

    def build(self) -> Reward:
        """Return the reward."""
        return Length(self.limit, self.allowance)


@dataclass(frozen=True)
class Length:
    """min(0, max(-1, (limit - allowance - tokens) / allowance))."""

    limit: int
    allowance: int

    def score(self, reply: Reply) -> float:
        return min(0.0, max(-1.0, (self.limit - self.allowance - reply.tokens) / self.allowance))


class NumberReward(RewardBase):
    """1 for a reply whose last number equals an accepted answer, else 0."""

    kind: Literal["number"] = Field("number", description="reward: a right number, the last one of the reply")

    def build(self) -> Reward:
        """Return the reward."""
        return RightNumber()


class RightNumber:
    """1 if the reply's last number has the value of an accepted answer, else 0. An answer that isn't a number never matches."""

    def score(self, reply: Reply) -> float:
        said = numbers(answer_of(reply.text))
        wanted = {value for answer in reply.question["answers"] for value in numbers(answer)[-1:]}
        return float(bool(said) and said[-1] in wanted)


class SoleReward(RewardBase):
    """1 for a reply that contains an accepted answer and none of the question's other choices, else 0.

    Of a question without choices whose answer is a number the other choices are all numbers that the question doesn't state itself.
    """

    kind: Literal["sole"] = Field("sole", description="reward: a right answer anywhere in the reply, and no other choice or number")

    def build(self) -> Reward:
        """Return the reward."""
        return SoleAnswer()


class SoleAnswer:
    """1 if the whole reply after thinking contains an accepted answer, and no choice that none of them contains, else 0."""

    def score(self, reply: Reply) -> float:
        accepted, choices, said = reply.question["answers"], reply.question.get("choices", ()), answer_of(reply.text)
        if not contains(said, accepted):
            return 0.0
        right = {value for answer in accepted for value in numbers(answer)}
        if right and not choices:
            return float(right.union(numbers(reply.question["question"])).issuperset(numbers(said)))
        return float(not contains(said, [choice for choice in choices if not any(contains(answer, [choice]) for answer in accepted)]))


STEPS = 4000


class ProgramReward(RewardBase):
    """The share of the question's hidden inputs for which the reply's function gives the right value."""

    ASKED: ClassVar[tuple[str, ...]] = ("programs",)

    kind: Literal["program"] = Field("program", description="reward: the share of hidden inputs that the reply's function answers right")
    steps: int = Field(STEPS, ge=100, le=1_000_000, description="most steps of one run; each item of a value costs one, too; count")

    def build(self) -> Reward:
        """Return the reward."""
        return RightProgram(self.steps)


@dataclass(frozen=True)
class RightProgram:
    """The share of hidden inputs answered right; 0 for a reply that is not a program, or a question that has no such inputs."""

    steps: int

    def score(self, reply: Reply) -> float:
        trials = reply.question.get("trials", [])
        passed = run_trials(answer_of(reply.text), reply.question, self.steps)
        return passed / len(trials) if trials else 0.0


def run_trials(text: str, question: Question, steps: int = STEPS) -> int:
    """Return for how many of a question's hidden inputs the function in `text` gives the right value."""
    from model.rewards.programs.operations import ProgramError, parse_program, program_text

    trials = question.get("trials", [])
    try:
        functions = parse_program(program_text(text))
    except ProgramError:
        return 0
    return sum(_passes(functions, question.get("function", ""), trial, steps) for trial in trials)


def _passes(functions: Mapping[str, ast.FunctionDef], name: str, trial: Trial, steps: int) -> bool:
    from model.rewards.programs.interpreter import run_program
    from model.rewards.programs.operations import ProgramError

    try:
        return _same(run_program(functions, name, trial["inputs"], steps), trial["output"])
    except ProgramError:
        return False


def _same(found: Any, wanted: Any) -> bool:
    """Return whether two values are equal, and truth values on both sides or on none. What is wanted is finite, so this ends."""
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(_same, found, wanted))
    return isinstance(found, bool) == isinstance(wanted, bool) and bool(found == wanted)


class GymReward(RewardBase):
    """What reasoning-gym's scorer of the question's data set gives the reply: 1 for a right one, and for some data sets parts of it."""

    ASKED: ClassVar[tuple[str, ...]] = ("gym",)

    kind: Literal["gym"] = Field("gym", description="reward: what the scorer of reasoning-gym gives for its problems, 0 to 1")

    def build(self) -> Reward:
        """Return the reward."""
        return GymScore()


class GymScore:
    """The scorer's number for what the reply says after thinking, 0 where it fails; 0 for a question that is not one of its problems."""

    def score(self, reply: Reply) -> float:
        entry = reply.question.get("entry")
        return score_entry(answer_of(reply.text), entry) if entry is not None else 0.0


AnyReward = AnswerReward | ConciseReward | NumberReward | SoleReward | FormatReward | LengthReward | ProgramReward | GymReward
RewardConfig = Annotated[AnyReward, Field(discriminator="kind")]
"""What a reply is rewarded for, by `kind`."""


def is_solved(reply: str, question: Question) -> bool:
    """Return whether a reply gives an accepted answer, a function that is right for all hidden inputs, or what a scorer counts as whole."""
    if "trials" in question:
        return run_trials(answer_of(reply), question) == len(question["trials"])
    if "entry" in question:
        return score_entry(answer_of(reply), question["entry"]) >= 1.0
    return is_right(reply, question["answers"])
