"""The configuration of problems that are added to generated examples. Cheap to import: pydantic only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, field_validator

# Data sets of reasoning-gym 0.1.25 that are never used, and why. The others compare texts, numbers and boards.
_EVALUATED = "its scorer runs the reply as Python"
REFUSED: dict[str, str] = {
    **dict.fromkeys(("binary_matrix", "n_queens", "spiral_matrix", "string_insertion"), _EVALUATED),
    **dict.fromkeys(("countdown", "intermediate_integration", "polynomial_multiplication", "puzzle24", "simple_integration"), _EVALUATED),
    "codeio": "it runs programs that come with it to make its problems",
    "composite": "it hands replies to the scorers of other data sets; list those",
}


class ProgramProblems(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Small functions to write, each judged by running it on inputs that the question does not show."""

    seed: int = Field(0, ge=0, description="seed of the problems and of their inputs; integer")
    taught: int = Field(150, ge=1, le=300, description="problems whose programs the instructions show; count")
    asked: int = Field(
        150, ge=1, le=300, description="other problems of the same templates, in questions_programs, to be rewarded for; count"
    )
    heldout: int = Field(60, ge=1, le=150, description="problems of templates that are never taught, in questions_program_templates; count")
    trials: int = Field(6, ge=2, le=20, description="hidden inputs of each problem; count")


class GymProblems(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Problems of one data set of reasoning-gym, which its own scorer judges. They are made from its seed."""

    dataset: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="data set of reasoning-gym, such as chain_sum; name")
    seed: int = Field(0, ge=0, description="seed of its problems; integer")
    taught: int = Field(100, ge=0, le=10_000, description="problems whose answers the instructions state; 0: none; count")
    asked: int = Field(100, ge=1, le=10_000, description="other problems, in questions_gym, to be rewarded for; count")
    heldout: int = Field(50, ge=1, le=10_000, description="other problems, in questions_gym_heldout; count")
    most_characters: int = Field(240, ge=20, description="longer questions are left out; characters")
    settings: dict[str, Any] = Field(
        default_factory=dict, description="settings of that data set besides seed and size, such as max_terms: 3; mapping"
    )

    @field_validator("dataset")
    @classmethod
    def _never_runs_replies(cls, dataset: str) -> str:
        if why := REFUSED.get(dataset):
            raise ValueError(f"dataset={dataset} is refused: {why}; choose another, such as chain_sum")
        return dataset

    @field_validator("settings")
    @classmethod
    def _counted_here(cls, settings: dict[str, Any]) -> dict[str, Any]:
        if given := sorted({"seed", "size"} & settings.keys()):
            raise ValueError(f"settings has {given[0]}, which follows from the keys beside it; leave it out")
        return settings


def _each_once(gym: tuple[GymProblems, ...]) -> tuple[GymProblems, ...]:
    names = [problems.dataset for problems in gym]
    if double := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"gym has {double} {names.count(double)} times; keep one")
    return gym


# The keys that examples have for problems.
Programs = Annotated[
    ProgramProblems | None, Field(description="small programs to write, judged by running them; null: none; numbers of problems")
]
Gym = Annotated[
    tuple[GymProblems, ...],
    AfterValidator(_each_once),
    Field(description="problems of reasoning-gym (pip install -e '.[gym]'); list of data sets with numbers of problems"),
]


def problem_sets(programs: ProgramProblems | None, gym: Sequence[GymProblems]) -> frozenset[str]:
    """Return the sets of questions that problems are asked in."""
    return frozenset((*(("programs", "program_templates") if programs else ()), *(("gym", "gym_heldout") if gym else ())))
