"""Settings of the comparison of a quantized form with its model. Cheap to import: pydantic only."""

from __future__ import annotations

from pydantic import BaseModel, Field

from model.evaluation.gate import Bound

FIDELITY = "fidelity."  # before the names of inputs that say what was measured of a form; a form's name has no dot
FILE, VERDICT = "metrics.json", "verdict.json"


class FidelitySettings(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """How a quantized form is compared with the model."""

    rows: int = Field(64, ge=1, description="rows that both read, drawn by the seed from the last split of evaluate.release; rows")
    resamples: int = Field(1000, ge=100, le=100_000, description="bootstrap resamples behind each interval; count")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="probability that an interval is meant to cover; fraction")
    seed: int = Field(0, ge=0, description="seed of the rows and resamples; integer")
    speed_tokens: int = Field(64, ge=0, description="tokens that are written to measure its speed; 0: not measured; tokens")


class FidelityConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """How one form is compared, and what must hold."""

    settings: FidelitySettings = FidelitySettings()
    bounds: tuple[Bound, ...] = Field(description="what must hold of this form; list of bounds")
    overrule: str | None = Field(None, description="release it although a bound fails, for this reason; text")
