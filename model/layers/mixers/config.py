"""Settings of token mixers, each a `kind`: an item of a hybrid network's `mixers`. Cheap to import (no torch)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from model.layers.mixers.mixer import Mixer


class MixerBase(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Settings of a token mixer."""

    ATTENDS: ClassVar[bool] = False  # whether the block is the decoder's own, which keeps each token's key and value

    kind: str

    @property
    def compared(self) -> int:
        """The most tokens that one token is compared with in training, itself included."""
        return 1

    def problems(self, width: int) -> Iterator[str]:
        """Yield why a residual stream of `width` numbers does not suit it."""
        yield from ()

    @abstractmethod
    def build(self, width: int, norm_epsilon: float) -> Mixer:
        """Return the layer; the network draws its weights."""


class AttentionMixer(MixerBase, frozen=True, extra="forbid"):
    """Attention, by the network's own keys: `heads`, `kv_heads`, `positions`, `attention` and so on."""

    ATTENDS: ClassVar[bool] = True

    kind: Literal["attention"] = Field("attention", description="which mixer: attention over all earlier tokens of the document")

    def build(self, width: int, norm_epsilon: float) -> Mixer:
        raise TypeError("attention is a part of the decoder's block, which the network builds")


class ConvolutionMixer(MixerBase, frozen=True, extra="forbid"):
    """A gated causal convolution, as in LFM2: a token sees a fixed number of earlier ones."""

    kind: Literal["convolution"] = Field("convolution", description="which mixer: a gated causal convolution of each channel")
    taps: int = Field(3, ge=2, le=64, description="tokens that one output is a sum of, its own included")
    dilation: int = Field(1, ge=1, le=1024, description="distance of two taps; tokens")

    def build(self, width: int, norm_epsilon: float) -> Mixer:
        from model.layers.mixers.convolution import GatedConvolution

        return GatedConvolution(self, width)


class StateMixerBase(MixerBase, frozen=True, extra="forbid"):
    """Settings that mixers with a matrix as state for each head share."""

    head_width: int = Field(32, ge=4, description="numbers of a head's value")
    taps: int = Field(4, ge=2, le=64, description="of the short convolution before it; tokens, its own included")
    chunk: int = Field(64, ge=2, le=1024, description="tokens computed at once in training; changes the result by rounding alone")

    @property
    def compared(self) -> int:
        return self.chunk


class Mamba2Mixer(StateMixerBase, frozen=True, extra="forbid"):
    """A selective state space, Mamba-2's: what a token adds to a decaying state, and how fast it decays, depend on the token."""

    kind: Literal["mamba2"] = Field("mamba2", description="which mixer: Mamba-2's state space")
    expand: int = Field(2, ge=1, le=8, description="its inner size, in widths")
    state: int = Field(64, ge=4, description="numbers that each inner channel keeps of the tokens before")

    def problems(self, width: int) -> Iterator[str]:
        if (self.expand * width) % self.head_width:
            yield f"head_width={self.head_width} does not divide expand={self.expand} x width={width}; choose a divisor"

    def build(self, width: int, norm_epsilon: float) -> Mixer:
        from model.layers.mixers.mamba2 import Mamba2

        return Mamba2(self, width, norm_epsilon)


class GatedDeltaMixer(StateMixerBase, frozen=True, extra="forbid"):
    """The gated delta rule: a decaying memory of values by keys, in which a token replaces what its key held."""

    kind: Literal["gated_delta"] = Field("gated_delta", description="which mixer: the gated delta rule (gated DeltaNet)")

    def problems(self, width: int) -> Iterator[str]:
        if width % self.head_width:
            yield f"head_width={self.head_width} does not divide width={width}; choose a divisor"

    def build(self, width: int, norm_epsilon: float) -> Mixer:
        from model.layers.mixers.gated_delta import GatedDelta

        return GatedDelta(self, width, norm_epsilon)


class RecurrenceMixer(MixerBase, frozen=True, extra="forbid"):
    """A recurrence that is computed one token after the other."""

    kind: Literal["rnn", "lstm", "gru"] = Field(
        "gru", description="which mixer: Elman's recurrence, long short-term memory, or gated units"
    )

    def build(self, width: int, norm_epsilon: float) -> Mixer:
        from model.layers.mixers.recurrence import Recurrence

        return Recurrence(self, width)


MixerConfig = Annotated[AttentionMixer | ConvolutionMixer | Mamba2Mixer | GatedDeltaMixer | RecurrenceMixer, Field(discriminator="kind")]
