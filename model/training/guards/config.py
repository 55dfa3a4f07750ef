"""Settings for what to do when training goes wrong, and when to stop early. Cheap to import (pydantic alone)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, Field

_ROLLS_BACK = ("on_nan=rollback", "on_spike=rollback")
_LOOKS_FOR_SPIKES = ("on_spike=stop", "on_spike=rollback")


class GuardsConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The policy for losses that are not finite, losses that spike, and a validation loss that stops falling.

    A spike is a loss above median + `spike_deviations` * 1.4826 * MAD of the `spike_window` losses before it, MAD being their median
    absolute deviation: the rule of Hampel (1974, "The influence curve and its role in robust estimation"). A rollback goes back to the last
    multiple of `rollback_every_steps`, where a checkpoint is always saved, and skips the data of the bad step. A bad step is found while
    the next one is computed, which is dropped with it.
    """

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "spike_window": _LOOKS_FOR_SPIKES,
        "spike_deviations": _LOOKS_FOR_SPIKES,
        "rollback_every_steps": _ROLLS_BACK,
        "skip_steps": _ROLLS_BACK,
        "most_rollbacks": _ROLLS_BACK,
        "min_delta": ("patience",),
    }

    on_nan: Literal["stop", "rollback"] = Field("stop", description="what to do if a loss or gradient is not finite")
    on_spike: Literal["ignore", "stop", "rollback"] = Field("ignore", description="what to do if a loss is far above those before it")
    spike_window: int = Field(
        100, ge=8, description="steps whose losses a loss is compared with; spikes are not looked for before that many steps"
    )
    spike_deviations: float = Field(8.0, gt=0, description="robust standard deviations above the median from which a loss is a spike")
    rollback_every_steps: int = Field(100, ge=1, description="steps between the checkpoints that a rollback may go back to")
    skip_steps: int = Field(1, ge=1, description="steps whose data a rollback skips: the bad one and those just before it")
    most_rollbacks: int = Field(3, ge=1, description="rollbacks after which the run stops")
    patience: int = Field(0, ge=0, description="measurements of validation loss without a new best after which the run stops; 0: never")
    min_delta: float = Field(0.0, ge=0, description="how far a validation loss must be below the best to be a new best; nats")

    @property
    def rolls_back(self) -> bool:
        """Whether any policy is to roll back."""
        return "rollback" in (self.on_nan, self.on_spike)
