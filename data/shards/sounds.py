"""Sounds as columns of rows: log-mel frames, as whisper's front end computes them (Radford et al. 2022), a few to a token.

A sound is brought to one length by silence behind it. Every 10 milliseconds a window of 25 has its power in each mel band (Slaney's scale,
0 to 8,000 Hz, areas of 1), as the decimal logarithm, cut off 8 below the loudest of the sound, plus 4, divided by 4: about -1 to 1.
`log_mel` equals `WhisperFeatureExtractor` within 1e-4; rows keep its values as float16.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, Field, model_validator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RATE = 16_000  # samples a second of every sound that is kept
WINDOW, HOP = 400, 160  # samples
FRAMES_A_SECOND = RATE // HOP
QUIETEST = 1e-10  # of a power, before the logarithm
LINEAR_TOP, STEP = 1000.0, 200.0 / 3  # Slaney's scale: below 1,000 Hz a mel is so many Hz, above it a step of the logarithm
LOG_STEP = 27.0  # mels from 1,000 to 6,400 Hz


class SoundGrid(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The length that sounds are brought to, and the frames that a token stands for."""

    seconds: float = Field(gt=0, le=30, description="length that every sound is brought to by silence; a longer one is refused; seconds")
    mels: int = Field(80, ge=4, le=256, description="mel bands of a frame; count")
    stack: int = Field(4, ge=1, le=100, description="frames of 10 ms that take the place of one token; count")

    @property
    def frames(self) -> int:
        """Frames of a sound."""
        return round(self.seconds * FRAMES_A_SECOND)

    @property
    def patches(self) -> int:
        """Tokens that stand for a sound."""
        return self.frames // self.stack

    @property
    def patch_size(self) -> int:
        """Numbers in the vector of a token."""
        return self.mels * self.stack

    @property
    def grid(self) -> SoundGrid:
        """The same, without what else a section of this form has."""
        return SoundGrid(**{name: getattr(self, name) for name in SoundGrid.model_fields})

    @model_validator(mode="after")
    def _frames_fill_it(self) -> Self:
        if self.frames % self.stack or not self.frames:
            raise ValueError(
                f"seconds={self.seconds} are {self.frames} frames, which stack={self.stack} does not divide; whole tokens must fill a sound"
            )
        return self


def sound_patches(samples: bytes, grid: SoundGrid) -> NDArray[np.float16]:
    """Return the vectors of a sound's tokens, float16 [tokens, numbers]; samples: int16 at `RATE`. Raise ValueError for a longer one."""
    import numpy as np

    values = np.frombuffer(samples, dtype="<i2").astype(np.float32) / 32_768
    room = grid.frames * HOP
    if len(values) > room:
        raise ValueError(f"a sound of {len(values) / RATE:.2f} seconds, and sounds are brought to {grid.seconds:g}; raise sounds.seconds")
    frames = log_mel(np.pad(values, (0, room - len(values))), grid.mels)
    return frames.reshape(grid.patches, grid.patch_size).astype(np.float16)


def log_mel(samples: NDArray[np.float32], mels: int) -> NDArray[np.float32]:
    """Return the log-mel frames of samples at `RATE`, from -1 to 1, as [frames, mels]."""
    import numpy as np

    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    padded = np.pad(samples.astype(np.float64), WINDOW // 2, mode="reflect")
    # Whisper leaves out the last window, which is centred on the end.
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][:-1]
    power = np.abs(np.fft.rfft(frames * window)) ** 2
    # einsum adds in one order whatever the number of threads, which a matrix product does not.
    logs = np.log10(np.maximum(np.einsum("tf,mf->tm", power, _filters(mels)), QUIETEST))
    scaled: NDArray[np.float32] = ((np.maximum(logs, logs.max() - 8.0) + 4.0) / 4.0).astype(np.float32)
    return scaled


@cache
def _filters(mels: int) -> NDArray[np.float64]:
    """Return the weight of each frequency in each band, [mels, frequencies]: triangles between neighbours on the mel scale."""
    import numpy as np

    top = LINEAR_TOP / STEP + np.log(RATE / 2 / LINEAR_TOP) * LOG_STEP / np.log(6.4)
    marks = np.linspace(0.0, top, mels + 2)
    above = LINEAR_TOP * np.exp((marks - LINEAR_TOP / STEP) * np.log(6.4) / LOG_STEP)
    edges = np.where(marks >= LINEAR_TOP / STEP, above, marks * STEP)
    slopes = edges[:, None] - np.linspace(0.0, RATE / 2, WINDOW // 2 + 1)
    falling = -slopes[:-2] / np.diff(edges)[:-1, None]
    rising = slopes[2:] / np.diff(edges)[1:, None]
    weights: NDArray[np.float64] = np.maximum(0, np.minimum(falling, rising)) * (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return weights
