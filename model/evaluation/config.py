"""Settings of evaluation. Cheap to import: pydantic only."""

from __future__ import annotations

import re
from collections import Counter
from typing import ClassVar

from pydantic import BaseModel, Field, field_validator


class Probe(BaseModel, frozen=True, extra="forbid"):
    """A word whose probability after a prompt is measured, at the beginning of a document."""

    prompt: str = Field(min_length=1, description="how the document begins; text")
    word: str = Field(min_length=1, description="the word that may follow, after one space; text")

    @property
    def metric(self) -> str:
        """Name of the metric, such as `probe.the_cat.sat`."""
        return ".".join(["probe", *(re.sub(r"\W+", "_", part.lower()).strip("_") for part in (self.prompt, self.word))])


class EvaluateConfig(BaseModel, frozen=True, extra="forbid"):
    """What `evaluate` measures, and how much of it."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "answer_tokens": ("questions",),
        "copy_prompts": ("copying",),
        "copy_prompt_tokens": ("copying",),
        "copy_tokens": ("copying",),
    }

    splits: tuple[str, ...] = Field(("train", "val"), min_length=1, description="splits whose loss is measured; names")
    rows: int | None = Field(1024, ge=1, description="rows of a split that are measured, drawn by the seed; rows; null: all")
    resamples: int = Field(1000, ge=100, le=100_000, description="bootstrap resamples behind each interval; count")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="probability that an interval is meant to cover; fraction")
    questions: bool = Field(False, description="ask the seen and held-out questions; needs the examples; yes or no")
    answer_tokens: int = Field(32, ge=1, description="most tokens of an answer; tokens")
    copying: bool = Field(False, description="measure how much training text the model has memorized; yes or no")
    copy_prompts: int = Field(128, ge=1, description="training passages that the model is asked to continue; count")
    copy_prompt_tokens: int = Field(16, ge=1, description="length of the prompt from each passage; tokens")
    copy_tokens: int = Field(
        24, ge=1, description="a passage counts as memorized if this many tokens after the prompt are verbatim; tokens"
    )
    probes: tuple[Probe, ...] = Field((), description="words whose probability after a prompt is measured; prompt and word each")
    samples: int = Field(4, ge=0, description="conversations and continuations kept for people to read; count of each")
    seed: int = Field(0, ge=0, description="seed of the rows, passages and resamples; integer")

    @field_validator("splits")
    @classmethod
    def _each_split_once(cls, splits: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(splits)) != len(splits):
            raise ValueError(f"splits={list(splits)} repeats a name; list each split once")
        return splits

    @field_validator("probes")
    @classmethod
    def _each_metric_once(cls, probes: tuple[Probe, ...]) -> tuple[Probe, ...]:
        repeated = [name for name, count in Counter(probe.metric for probe in probes).items() if count > 1]
        if repeated:
            raise ValueError(f"probes share the metric {repeated[0]}: they differ only in case or punctuation; drop one")
        return probes
