"""The kinds of inputs, as one type: an item of a network's `inputs`. Cheap to import (no torch)."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, field_validator

from model.inputs.base import InputBase
from model.inputs.tokens_config import TokensConfig
from model.inputs.vectors_config import VectorsConfig

InputConfig = Annotated[TokensConfig | VectorsConfig, Field(discriminator="kind")]


class ReadsInputs(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The inputs of a network, in the order their vectors are summed."""

    inputs: tuple[InputConfig, ...] = Field((), description="what it reads of each row, tokens among them; empty: the tokens alone")

    @field_validator("inputs")
    @classmethod
    def _inputs_fit(cls, inputs: tuple[InputConfig, ...]) -> tuple[InputConfig, ...]:
        """Refuse an unusable list; normalize one that equals the default."""
        modules = [config.module for config in inputs]
        if double := sorted({module for module in modules if modules.count(module) > 1}):
            raise ValueError(f"inputs has {modules.count(double[0])} for {double[0].removeprefix('embed_')}; keep one")
        if inputs and not any(config.VOCABULARY for config in inputs):
            raise ValueError("inputs lacks the tokens, which the network predicts; add {kind: tokens}")
        return () if inputs == (TokensConfig(),) else inputs

    @property
    def all_inputs(self) -> tuple[InputBase, ...]:
        """Every input, the tokens where none is named."""
        return self.inputs or (TokensConfig(),)
