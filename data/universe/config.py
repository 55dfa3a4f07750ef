"""The configuration of the universe and of the examples made from it."""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

from pydantic import BaseModel, Field, field_validator, model_validator

from data.conversations.records import Turns
from data.problems.config import Gym, Programs, problem_sets

Skill = Literal["answer", "summarize", "format", "explain", "program", "decline"]
MOST_WORDINGS = 6
HopKind = Literal[
    "home_ruler",
    "home_river",
    "home_product",
    "mother_home",
    "mother_occupation",
    "mother_animal",
    "mother_home_river",
    "mother_home_product",
]
CalculationKind = Literal["years_between", "year_after", "year_before", "years_before"]
ReasoningKind = Literal[HopKind, CalculationKind]


class UniverseSource(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A generated corpus: small books about one consistent world, with faults added on purpose."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "ocr_rate": ("dirty",),
        "hyphen_rate": ("dirty",),
        "lines_per_page": ("dirty",),
    }

    kind: Literal["universe"] = Field("universe", description="names this kind of source")
    seed: int = Field(7, description="seed of the world, the prose and every fault", ge=0)
    books: int = Field(100, description="distinct books, without copies and editions", ge=4, le=400)
    exact_copies: int = Field(6, description="files that repeat another book byte for byte", ge=0, le=40)
    near_editions: int = Field(6, description="files that repeat another book with a few words changed", ge=0, le=40)
    dirty: bool = Field(True, description="false: write the clean text, without any fault")
    ocr_rate: float = Field(0.01, description="share of words misread, in books read by OCR", ge=0, le=0.2)
    hyphen_rate: float = Field(0.5, description="share of line ends at which a long word is hyphenated, where one can be", ge=0, le=1)
    lines_per_page: int = Field(34, description="lines on a printed page, give or take two", ge=8, le=200)
    licence: str = Field(
        "generated, free of rights",
        json_schema_extra={"identity": False},
        description="terms under which the texts may be used, for the model card; text",
    )

    @property
    def label(self) -> str:
        """The source's name in its documents."""
        return "universe"


class EventPassages(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Passages of books up to a fact that is told next, which can be worked out from what was told before."""

    seed: int = Field(0, ge=0, description="seed of which passages are taken; integer")
    taught: int = Field(150, ge=1, le=2000, description="passages of training books that the instructions work out; at most; count")
    heldout: int = Field(60, ge=1, le=2000, description="passages of books held out, in questions_events; at most; count")
    most_words: int = Field(60, ge=10, le=400, description="longest passage; words")


class UniverseExamples(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Questions, instructions and preferences about the world, made from its facts."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {key: ("reasoning",) for key in ("worked", "worked_of", "sums")}
    OF_UNIVERSE: ClassVar[bool] = True  # its answers are the facts of a generated universe

    kind: Literal["universe"] = Field("universe", description="names this kind of examples")
    seed: int = Field(7, description="seed of the held-out facts and of every choice of words", ge=0)
    seen_fraction: float = Field(0.5, description="share of each entity's facts that examples may use", gt=0, lt=1)
    minimum_books: int = Field(5, description="a fact stated in fewer books is asked in questions_rare only", ge=1)
    wordings: int = Field(
        5, description="wordings of each question about a seen fact; the last is kept for validation", ge=2, le=MOST_WORDINGS
    )
    preference_pairs: int = Field(2, description="pairs of a good and a bad answer about each seen fact", ge=1, le=4)
    validation_fraction: float = Field(0.1, description="share of preference pairs kept for validation", ge=0, lt=1)
    reasoning: float = Field(
        0.0,
        description="share of the questions that take several facts or a calculation that a model may learn from; the others, and whole "
        "templates, are held out; 0: no such questions",
        ge=0,
        lt=1,
    )
    worked: float = Field(
        1.0,
        description="share of the questions of `reasoning`, but for the kinds in `worked_of`, whose answers the instructions work out step "
        "by step; of the others a step of tuning by rewards knows the answers alone",
        gt=0,
        le=1,
    )
    worked_of: dict[ReasoningKind, float] = Field(
        {"mother_home_river": 0.0, "mother_home_product": 0.0, "years_before": 0.0},
        description="the share in place of `worked` of kinds of these questions, named by the facts that they follow or by what is "
        "calculated; 0: never worked out; by default those of three facts and those that name the later of two events first; share by kind",
    )
    sums: int = Field(
        0,
        description="sums of numbers below a thousand that the instructions work out column by column, as they then do calculations with "
        "years; 0: none, and a calculation is one step; count",
        ge=0,
        le=20_000,
    )
    follow_ups: bool = Field(
        False,
        description="ask on about the person or town just spoken of by a pronoun (And what is her trade?); held-out facts are asked so in "
        "questions_follow_ups",
    )
    critiques: int = Field(
        0,
        description="answers to seen questions that the instructions criticize and revise by a principle; at most; 0: none; count",
        ge=0,
        le=4000,
    )
    unknown: int = Field(
        0,
        description="questions about what is in no book that the instructions decline; as many others are held out; 0: none; count",
        ge=0,
        le=400,
    )
    events: EventPassages | None = Field(
        None, description="passages of books whose next event is to be predicted, with a scratchpad; null: none; numbers of passages"
    )
    programs: Programs = None
    gym: Gym = ()
    turns: Turns = 1
    small_talk: bool = Field(True, description="add greetings, questions about the model, and not knowing strangers")
    skills: tuple[Skill, ...] = Field(
        (), description="what an assistant is also taught, and tested on in unseen templates; needed by evaluate.skills; list of skills"
    )

    @property
    def tested_skills(self) -> tuple[str, ...]:
        """Skills that test items are made of."""
        return self.skills

    @property
    def question_sets(self) -> frozenset[str]:
        """Sets of questions besides the seen and the held-out ones."""
        reasoned = ("reasoning", "practised", "hops", "arithmetic", "templates") if self.reasoning else ()
        told = (
            *(("follow_ups",) if self.follow_ups else ()),
            *(("unknown",) if self.unknown else ()),
            *(("passages", "events") if self.events else ()),
        )
        return frozenset((*reasoned, *told)) | problem_sets(self.programs, self.gym)

    @model_validator(mode="after")
    def _a_wording_is_left_to_test(self) -> UniverseExamples:
        if {"answer", "decline"} & {*self.skills} and self.wordings == MOST_WORDINGS:
            raise ValueError(
                f"skills has answer or decline, which ask in the last of {MOST_WORDINGS} wordings, and wordings={self.wordings} teaches it "
                "too; lower wordings"
            )
        return self

    @field_validator("skills")
    @classmethod
    def _each_once(cls, skills: tuple[Skill, ...]) -> tuple[Skill, ...]:
        if double := [skill for skill in skills if skills.count(skill) > 1]:
            raise ValueError(f"skills names {double[0]} {skills.count(double[0])} times; keep one")
        return skills

    @field_validator("worked_of")
    @classmethod
    def _some_are_worked(cls, worked_of: dict[ReasoningKind, float]) -> dict[ReasoningKind, float]:
        if wrong := next(((kind, share) for kind, share in worked_of.items() if not 0 <= share <= 1), None):
            raise ValueError(f"{wrong[0]}={wrong[1]:g} is not a share; give a number from 0 to 1")
        never = {kind for kind, share in worked_of.items() if share == 0}
        for what, kinds in (("several facts", get_args(HopKind)), ("a calculation", get_args(CalculationKind))):
            if not set(kinds) - never:
                raise ValueError(f"no kind of question that takes {what} is worked out, so nothing shows how; give one a share above 0")
        return worked_of

    def worked_share(self, kind: str) -> float:
        """The share of a kind of question that takes several facts or a calculation that is worked out."""
        return next((share for name, share in self.worked_of.items() if name == kind), self.worked)
