"""The settings of a step of partitioned deduplication. Cheap to import: pydantic only."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from data.dedup.config import DedupConfig, LineRule, ParagraphRule, SubstringRule, UnitRule

Unit = Literal["paragraph", "line", "substring"]
_UNITS: dict[Unit, UnitRule | SubstringRule] = {"paragraph": ParagraphRule(), "line": LineRule(), "substring": SubstringRule()}


def rules_of(rules: DedupConfig, unit: Unit | None = None) -> DedupConfig:
    """Return the rules that compare documents, with that of one unit. Those of other units are reset, so changing one reruns no step that
    ignores it."""
    return rules.model_copy(update={name: rule for name, rule in _UNITS.items() if name != unit})


class PartitionedConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A step that looks at documents, at pairs of them or at clusters."""

    rules: DedupConfig
    shards: int = Field(ge=1)
    partitions: int = Field(ge=1)


class UnitConfig(PartitionedConfig, frozen=True, extra="forbid"):
    """A step that looks at repeated units of one kind."""

    unit: Unit
