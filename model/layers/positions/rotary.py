"""Rotary positions (Su et al., 2021), in Llama's layout: channel i is rotated together with channel i + half.

Queries and keys rotated by their positions have dot products that depend on distance alone. Angles are computed in fp32 and
rounded to the activations' type last. Tables are cached by device and type, so a training step computes none.

Scalings to a longer context, with the wavelengths that `transformers` computes for the same fields: `linear` divides every angle by
the factor (Chen et al., 2023); `llama3` stretches only long wavelengths, with a ramp between (Llama 3.1's released code); `yarn` does
so by channel and multiplies queries and keys alike by 0.1 ln(factor) + 1, which sharpens attention (Peng et al., 2023).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from model.layers.config import PositionsConfig

Rotary = tuple[Tensor, Tensor]  # cosines and sines of the new tokens' positions, broadcasting to [B, H, T, R]


class RotaryTable:
    """Cosines and sines of positions 0 .. length-1; grows with the longest sequence seen.

    Not a buffer of the module, since `module.bfloat16()` would round the tables for good.
    """

    def __init__(self, config: PositionsConfig, rotary_width: int) -> None:
        self.config, self.rotary_width = config, rotary_width
        self._tables: dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}

    def cos_sin(self, length: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return cos_PR and sin_PR with at least `length` positions, in the type and on the device of `like`.

        The first half of the sines is negative, so that rotation is x * cos + (x with halves swapped) * sin.
        """
        key = (like.device, like.dtype)
        if key not in self._tables or len(self._tables[key][0]) < length:
            frequency, scale = frequencies(self.config, self.rotary_width)
            angle = torch.arange(length, dtype=torch.float32)[:, None] * frequency[None, :]
            cos, sin = angle.cos() * scale, angle.sin() * scale
            self._tables[key] = (
                torch.cat((cos, cos), dim=-1).to(like),
                torch.cat((-sin, sin), dim=-1).to(like),
            )
        return self._tables[key]


def rotate(x_BHTR: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate each head's vector by its position; `cos` and `sin` broadcast to [B, H, T, R]."""
    half = x_BHTR.shape[-1] // 2
    return x_BHTR * cos + x_BHTR.roll(half, dims=-1) * sin


def frequencies(config: PositionsConfig, rotary_width: int) -> tuple[Tensor, float]:
    """Return radians a token for each pair of channels, fp32 [rotary_width / 2], and the factor on cosines and sines."""
    exponent = torch.arange(0, rotary_width, 2, dtype=torch.int64).float() / rotary_width
    power = config.rope_theta**exponent
    if config.rope_scaling == "linear":
        return 1.0 / power / config.rope_factor, 1.0
    if config.rope_scaling == "llama3":
        return _llama3(1.0 / power, config), 1.0
    if config.rope_scaling == "yarn":
        scale = 0.1 * math.log(config.rope_factor) + 1.0 if config.rope_factor > 1 else 1.0
        return _yarn(power, config, rotary_width), scale
    return 1.0 / power, 1.0


def _llama3(frequency: Tensor, config: PositionsConfig) -> Tensor:
    original, factor = config.rope_original_context or config.context, config.rope_factor
    low, high = config.rope_low_frequency, config.rope_high_frequency
    wavelength = 2 * math.pi / frequency
    unscaled = ((original / wavelength - low) / (high - low)).clamp(0, 1)
    ramp = (1 - unscaled) * frequency / factor + unscaled * frequency
    return torch.where(wavelength > original / low, frequency / factor, torch.where(wavelength < original / high, frequency, ramp))


def _yarn(power: Tensor, config: PositionsConfig, rotary_width: int) -> Tensor:
    original = config.rope_original_context or config.context

    def channel(turns: float) -> float:
        """Return the pair of channels that makes this many turns in the original context."""
        return rotary_width * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(config.rope_theta))

    first = max(math.floor(channel(config.rope_beta_fast)), 0)
    last: float = min(math.ceil(channel(config.rope_beta_slow)), rotary_width - 1)
    last = last + 0.001 if first == last else last
    unscaled = 1 - ((torch.arange(rotary_width // 2, dtype=torch.float32) - first) / (last - first)).clamp(0, 1)
    return 1.0 / (config.rope_factor * power) * (1 - unscaled) + 1.0 / power * unscaled
