"""What is done when training goes wrong, and when it ends before its last step. Cheap to import (pydantic alone)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, Field

_ROLLS_BACK = ("on_nan=rollback", "on_spike=rollback")
_LOOKS_FOR_SPIKES = ("on_spike=stop", "on_spike=rollback")


class GuardsConfig(BaseModel, frozen=True, extra="forbid"):
    """A stated policy for losses that are no numbers, losses that jump, and a validation loss that no longer falls.

    A spike is a loss above median + `spike_deviations` * 1.4826 * MAD of the `spike_window` losses before it, MAD being the median
    distance from their median: the rule of Hampel (1974, "The influence curve and its role in robust estimation"). A rollback goes back
    to the last multiple of `rollback_every_steps`, where a checkpoint is always saved, and leaves out the data of the bad step.
    """

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "spike_window": _LOOKS_FOR_SPIKES,
        "spike_deviations": _LOOKS_FOR_SPIKES,
        "rollback_every_steps": _ROLLS_BACK,
        "skip_steps": _ROLLS_BACK,
        "most_rollbacks": _ROLLS_BACK,
        "min_delta": ("patience",),
    }

    on_nan: Literal["stop", "rollback"] = Field("stop", description="what a loss or gradient that is no finite number leads to")
    on_spike: Literal["ignore", "stop", "rollback"] = Field("ignore", description="what a loss far above those before it leads to")
    spike_window: int = Field(100, ge=8, description="steps whose losses a loss is compared with; none is looked for before so many")
    spike_deviations: float = Field(8.0, gt=0, description="robust standard deviations above their median that make a spike")
    rollback_every_steps: int = Field(100, ge=1, description="steps between the places that a rollback goes back to")
    skip_steps: int = Field(1, ge=1, description="steps whose data a rollback leaves out: the bad one and those just before it")
    most_rollbacks: int = Field(3, ge=1, description="rollbacks after which the run stops")
    patience: int = Field(0, ge=0, description="measurements of validation loss without a new best that end the run; 0: none do")
    min_delta: float = Field(0.0, ge=0, description="how much lower than the best a validation loss must be to be a new best; nats")

    @property
    def rolls_back(self) -> bool:
        """Whether anything leads to a rollback."""
        return "rollback" in (self.on_nan, self.on_spike)
