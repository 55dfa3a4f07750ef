"""What became of a release after it was exported: how it was measured and judged, what people decided, and what it cost.

The export can't know it, so it writes the card without. Whoever does know adds it to what the export left in card.json.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from model.release.card import ModelCard, render_card

FACTS = "card.json"


class EvaluationFact(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """One model's measurements on the texts and questions of the run."""

    name: str = Field(description="which model: release, a quantized form, a model before it; text")
    metrics: dict[str, float] = Field(description="what was measured; by metric")


class GateFact(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A gate that the model passed, or that a person overruled."""

    name: str = Field(description="position of the gate in the flow; text")
    rows: tuple[tuple[str, str, str, str, str], ...] = Field(description="rows of the gate's table; five cells each")
    overruled: str = Field("", description="why a person overruled it; empty: nobody did; text")
    answer: str = Field("", description="what a person answered when asked to approve it; empty: nobody was asked; text")


class CostFact(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The time and money that executions of stages took, in this run or an earlier one."""

    name: str = Field(description="which stages; text")
    wall_seconds: float = Field(description="time from begin to end, summed over executions; seconds")
    cpu_seconds: float = Field(description="processor time; seconds")
    gpu_seconds: float = Field(description="time of accelerators in use; seconds")
    money: float | None = Field(None, description="price at the recipe's rates; in `currency`; null: it has no rates")


class Account(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """What a store knows of a release that its export could not know."""

    evaluations: tuple[EvaluationFact, ...] = Field((), description="of the release, its forms and the models before it; one entry each")
    baselines: dict[str, float] = Field({}, description="what counting, compressing and guessing reach; by metric")
    gates: tuple[GateFact, ...] = Field((), description="every gate of the run, in the flow's order; one entry each")
    decisions: tuple[tuple[str, str], ...] = Field((), description="what people decided, each with name and reason; (what, words) pairs")
    costs: tuple[CostFact, ...] = Field((), description="by chapter, then all together; one entry each")
    currency: str = Field("", description="what `money` is in; empty: the recipe has no rates; text")


def write_facts(card: ModelCard, facts: Mapping[str, Any], output: Path) -> None:
    """Write the arguments of `render_card`, to render the card again with an account."""
    told = {"card": card.model_dump(mode="json"), "facts": {**facts, "supports": sorted(facts["supports"])}}
    (output / FACTS).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def whole_card(release: Path, account: Account) -> str:
    """Return a release's README.md with an account of its evaluation and gates. Raise FileNotFoundError without card.json."""
    told = json.loads((release / FACTS).read_text(encoding="utf-8"))
    return render_card(ModelCard.model_validate(told["card"]), told["facts"], account)
