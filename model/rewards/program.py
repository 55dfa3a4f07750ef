"""The reward for a program that does what it should, judged by running it on inputs that the question does not show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from model.rewards.answers import Question, Trial, answer_of
from model.rewards.protocol import Reply, Reward, RewardBase

if TYPE_CHECKING:
    import ast

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
    from model.rewards.programs.syntax import ProgramError, parse_program, program_text

    trials = question.get("trials", [])
    try:
        functions = parse_program(program_text(text))
    except ProgramError:
        return 0
    return sum(_passes(functions, question.get("function", ""), trial, steps) for trial in trials)


def _passes(functions: Mapping[str, ast.FunctionDef], name: str, trial: Trial, steps: int) -> bool:
    from model.rewards.programs.interpreter import run_program
    from model.rewards.programs.syntax import ProgramError

    try:
        return _same(run_program(functions, name, trial["inputs"], steps), trial["output"])
    except ProgramError:
        return False


def _same(found: Any, wanted: Any) -> bool:
    """Return whether two values are equal, and truth values on both sides or on none. What is wanted is finite, so this ends."""
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(_same, found, wanted))
    return isinstance(found, bool) == isinstance(wanted, bool) and bool(found == wanted)
