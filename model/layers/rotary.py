"""Rotary positions (Su et al., 2021), in Llama's layout: channel i turns together with channel i + half.

Guarantee: queries and keys turned by their positions have dot products that depend on distance alone. Angles are
computed in fp32 and only then rounded to the activations' type. The tables are kept per device, type and length, so a
training step computes none. Scaled wavelengths are those that `transformers` computes for the same fields.

Scalings to a longer context: `linear` divides every angle by the factor (Chen et al., 2023); `llama3` stretches long
wavelengths only, with a ramp between (Llama 3.1's released code); `yarn` does so by channel and sharpens attention by
0.1 ln(factor) + 1 on queries and keys alike (Peng et al., 2023).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from model.networks.config import DecoderConfig


class RotaryTable:
    """Cosines and sines for positions 0 .. length-1; grows when a longer sequence comes.

    Not a buffer of the module: `module.bfloat16()` would round the angles' tables for good.
    """

    def __init__(self, config: DecoderConfig) -> None:
        self.config = config
        self._tables: dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}

    def upto(self, length: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """cos_PR and sin_PR with at least `length` positions, in the type and on the device of `like`.

        The first half of the sines is negative: turning is then x * cos + (x with halves swapped) * sin.
        """
        key = (like.device, like.dtype)
        if key not in self._tables or len(self._tables[key][0]) < length:
            frequency, sharpness = frequencies(self.config)
            angle = torch.arange(length, dtype=torch.float32)[:, None] * frequency[None, :]
            cos, sin = angle.cos() * sharpness, angle.sin() * sharpness
            self._tables[key] = (
                torch.cat((cos, cos), dim=-1).to(like),
                torch.cat((-sin, sin), dim=-1).to(like),
            )
        return self._tables[key]


def frequencies(config: DecoderConfig) -> tuple[Tensor, float]:
    """Radians a token of each pair of channels, fp32 [rotary_width / 2], and the factor on cosines and sines."""
    exponent = torch.arange(0, config.rotary_width, 2, dtype=torch.int64).float() / config.rotary_width
    power = config.rope_theta**exponent
    if config.rope_scaling == "linear":
        return 1.0 / power / config.rope_factor, 1.0
    if config.rope_scaling == "llama3":
        return _llama3(1.0 / power, config), 1.0
    if config.rope_scaling == "yarn":
        sharpness = 0.1 * math.log(config.rope_factor) + 1.0 if config.rope_factor > 1 else 1.0
        return _yarn(power, config), sharpness
    return 1.0 / power, 1.0


def _llama3(frequency: Tensor, config: DecoderConfig) -> Tensor:
    original, factor = config.rope_original_context or config.context, config.rope_factor
    low, high = config.rope_low_frequency, config.rope_high_frequency
    length = 2 * math.pi / frequency
    stays = ((original / length - low) / (high - low)).clamp(0, 1)
    between = (1 - stays) * frequency / factor + stays * frequency
    return torch.where(length > original / low, frequency / factor, torch.where(length < original / high, frequency, between))


def _yarn(power: Tensor, config: DecoderConfig) -> Tensor:
    width, original = config.rotary_width, config.rope_original_context or config.context

    def channel(turns: float) -> float:
        """The pair of channels that makes so many turns in the original context."""
        return width * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(config.rope_theta))

    first = max(math.floor(channel(config.rope_beta_fast)), 0)
    last: float = min(math.ceil(channel(config.rope_beta_slow)), width - 1)
    last = last + 0.001 if first == last else last
    stays = 1 - ((torch.arange(width // 2, dtype=torch.float32) - first) / (last - first)).clamp(0, 1)
    return 1.0 / (config.rope_factor * power) * (1 - stays) + 1.0 / power * stays


def rotate(x_BHTR: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each head's vector by its position; `cos` and `sin` broadcast to [B, H, T, R]."""
    half = x_BHTR.shape[-1] // 2
    return x_BHTR * cos + x_BHTR.roll(half, dims=-1) * sin
