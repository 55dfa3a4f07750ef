"""Settings of evaluation and of thinking. Cheap to import: pydantic only.

How much thinking is tried. Cheap to import: pydantic only.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from data.shards.names import SplitNames
from model.inference.config import PositiveTemperature
from model.networks.base import Ability, NetworkBase

QuestionSet = Literal[
    "follow_ups",
    "reasoning",
    "hops",
    "arithmetic",
    "templates",
    "unknown",
    "passages",
    "events",
    "programs",
    "program_templates",
    "gym",
    "gym_heldout",
    "blind",
    "shuffled",
]
"""A set of questions that examples may have, besides the seen and the held-out ones."""
AskedSet = Literal["seen", "heldout", QuestionSet]
HOPS = (1, 2, 3)  # facts that a question may take, one after the other
INTERVAL = ("", "_error", "_low", "_high")


class ThinkingConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Which questions are answered with how much thinking."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "reward_model": ("best",),
        "temperature": ("votes", "best"),
        "seed": ("votes", "best"),
    }

    questions: AskedSet = Field(
        "hops", description="set of questions that are asked; those of question_sets need the same of the examples; name"
    )
    budgets: tuple[int, ...] = Field((0, 16, 64), min_length=1, description="most tokens of thinking, each tried by itself; tokens")
    votes: tuple[int, ...] = Field((), description="attempts whose majority decides, each number tried by itself; count")
    best: tuple[int, ...] = Field(
        (), description="attempts of which the reward model's favourite is taken, each number tried by itself; needs reward_model; count"
    )
    reward_model: str = Field("", description="step of kind reward whose model takes the best of several attempts; empty: none; name")
    emergence: tuple[AskedSet, ...] = Field(
        (),
        description="sets of questions whose thoughts, with the largest budget, are looked through: whether they correct themselves, and "
        "whether they are longer where a question takes more facts; names",
    )
    temperature: PositiveTemperature = Field(0.8, description="divides the logits that attempts are sampled from")
    answer_tokens: int = Field(24, ge=1, description="most tokens of an answer after thinking; tokens")
    seed: int = Field(0, ge=0, description="seed of the attempts; integer")

    @model_validator(mode="after")
    def _each_once(self) -> ThinkingConfig:
        for key in ("budgets", "votes", "best"):
            if sorted(set(getattr(self, key))) != list(getattr(self, key)):
                raise ValueError(f"{key}={list(getattr(self, key))} is not in rising order, each once; sort it")
        if self.budgets[0] < 0 or any(tried and tried[0] < 2 for tried in (self.votes, self.best)):
            raise ValueError("budgets count tokens from 0, votes and best attempts from 2; correct them")
        if self.best and not self.reward_model:
            raise ValueError(f"best={list(self.best)} needs a judge; name a step of kind reward in reward_model, or leave best out")
        if double := next((name for name in self.emergence if self.emergence.count(name) > 1), None):
            raise ValueError(f"emergence names {double} {self.emergence.count(double)} times; keep one")
        return self

    @property
    def sets(self) -> tuple[str, ...]:
        """Sets of questions that are asked."""
        return tuple(dict.fromkeys((self.questions, *self.emergence)))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics. Those by number of facts and those of corrections appear only if a question or thought is of that kind."""
        budgets, votes = (f"budget_{budget}" for budget in self.budgets), (f"majority_{votes}" for votes in self.votes)
        tried = (*budgets, *votes, *(f"best_{count}" for count in self.best))
        spent = tuple(f"thinking.{name}{what}" for name in tried for what in ("", "_tokens"))
        if not self.emergence:
            return spent
        by_hops = (f"thinking.{what}_{hops}_hops" for hops in HOPS for what in ("tokens", "right"))
        single = (f"thinking.{name}{end}" for name in ("corrected", "restated", "longer_per_hop") for end in INTERVAL)
        return (*spent, *by_hops, *single, "thinking.corrected_right", "thinking.thoughts")


class Probe(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A word whose probability after a prompt is measured, at the beginning of a document."""

    prompt: str = Field(min_length=1, description="how the document begins; text")
    word: str = Field(min_length=1, description="the word that may follow, after one space; text")

    @property
    def metric(self) -> str:
        """Name of the metric, such as `probe.the_cat.sat`."""
        return ".".join(["probe", *(re.sub(r"\W+", "_", part.lower()).strip("_") for part in (self.prompt, self.word))])


class EvaluateConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Settings of an evaluation."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "answer_tokens": ("questions",),
        "question_sets": ("questions",),
        "earlier_questions": ("questions",),
        "skill_tokens": ("skills",),
        "copy_prompts": ("copying",),
        "copy_prompt_tokens": ("copying",),
        "copy_tokens": ("copying",),
    }

    splits: SplitNames = Field(("train", "val"), min_length=1, description="splits whose loss is measured; names")
    rows: int | None = Field(1024, ge=1, description="rows of a split that are measured, drawn by the seed; rows; null: all")
    resamples: int = Field(1000, ge=100, le=100_000, description="bootstrap resamples behind each interval; count")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="probability that an interval is meant to cover; fraction")
    questions: bool = Field(False, description="ask the seen and held-out questions; needs the examples; yes or no")
    question_sets: tuple[QuestionSet, ...] = Field(
        (),
        description="sets of questions asked besides; reasoning, hops, arithmetic and templates need examples.reasoning, passages and "
        "events examples.events, program_templates examples.programs, gym_heldout examples.gym, the others the key of their name; names",
    )
    earlier_questions: int = Field(
        0,
        ge=0,
        le=16,
        description="ask each question once more behind so many others, with the model's own replies, as conversations go on; 0: don't; "
        "count",
    )
    thinking: ThinkingConfig | None = Field(
        None, description="how much better it answers for tokens spent on thinking; null: not measured; questions, budgets and votes"
    )
    answer_tokens: int = Field(32, ge=1, description="most tokens of an answer; tokens")
    skills: bool = Field(False, description="ask the test items of the examples' skills, and score them by rules; yes or no")
    skill_tokens: int = Field(64, ge=1, description="most tokens of a reply to such an item; tokens")
    copying: bool = Field(False, description="measure how much training text the model has memorized; yes or no")
    copy_prompts: int = Field(128, ge=1, description="training passages that the model is asked to continue; count")
    copy_prompt_tokens: int = Field(16, ge=1, description="length of the prompt from each passage; tokens")
    copy_tokens: int = Field(
        24, ge=1, description="a passage counts as memorized if this many tokens after the prompt are verbatim; tokens"
    )
    passages: int = Field(
        0,
        ge=0,
        description="passages of each split whose halves are to find each other by their vectors (recall_at_1, _5, _10); 0: not measured; "
        "count",
    )
    probes: tuple[Probe, ...] = Field((), description="words whose probability after a prompt is measured; prompt and word each")
    samples: int = Field(
        4, ge=0, description="conversations and continuations kept for people to read, of a model that writes text; count of each"
    )
    seed: int = Field(0, ge=0, description="seed of the rows, passages and resamples; integer")

    @field_validator("probes")
    @classmethod
    def _each_metric_once(cls, probes: tuple[Probe, ...]) -> tuple[Probe, ...]:
        repeated = [name for name, count in Counter(probe.metric for probe in probes).items() if count > 1]
        if repeated:
            raise ValueError(f"probes share the metric {repeated[0]}: they differ only in case or punctuation; drop one")
        return probes

    @property
    def judge(self) -> str:
        """The step whose reward model takes the best of several attempts; empty: none."""
        return self.thinking.reward_model if self.thinking is not None and self.thinking.best else ""

    def without_judge(self) -> Self:
        """Return these settings without what needs a reward model."""
        if self.thinking is None:
            return self
        return self.model_copy(update={"thinking": self.thinking.model_copy(update={"best": (), "reward_model": ""})})

    def problems(self, network: NetworkBase, section: str = "") -> Iterator[str]:
        """Yield each setting that such a network does not support, with its key below `section` and what to do."""
        asked: dict[str, tuple[Ability, bool]] = {
            "questions": ("generation", self.questions),
            "skills": ("generation", self.skills),
            "copying": ("generation", self.copying),
            "thinking": ("generation", self.thinking is not None),
            "passages": ("gradients", bool(self.passages)),
            "probes": ("causal", bool(self.probes)),
            "samples": ("generation", self.samples not in (0, type(self).model_fields["samples"].default)),
        }
        for key, (ability, wanted) in asked.items():
            if wanted and ability not in network.SUPPORTS:
                yield f"{section}{key} needs a network that supports {ability}, and kind={network.kind} does not; leave {section}{key} out"


class ArenaEvaluation(EvaluateConfig, frozen=True):
    """Settings of evaluating a network of an arena: those of the base model, and the cost of decoding."""

    lengths: tuple[int, ...] = Field((64, 256, 1024), min_length=1, description="texts before the next token; tokens, ascending")


class ConsultConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Settings of evaluating answers from documents, on the held-out questions of the examples."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {"declines": ("declined",)}

    questions: int = Field(200, ge=1, description="held-out questions that are asked, the first of the file; count")
    passages: int = Field(5, ge=1, le=20, description="passages that are offered to a prompt, as many as fit are shown; count")
    answer_tokens: int = Field(48, ge=1, description="longest answer; tokens")
    declined: bool = Field(
        False, description="ask each question once more with other passages than its own, which is to be declined; yes or no"
    )
    declines: tuple[str, ...] = Field(
        (), description="words by which a model declines besides `unanswerable`, which it is asked for, such as 'ich weiß es nicht'"
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="of the intervals; probability")
