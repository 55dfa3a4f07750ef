"""Layers that know the order of tokens: rotary positions, position embeddings, and biases on attention's scores.

Rotary positions (Su et al., 2021), in Llama's layout: channel i is rotated together with channel i + half.
Queries and keys rotated by their positions have dot products that depend on distance alone. Angles are computed in fp32 and
rounded to the activations' type last. Tables are cached by device and type, so a training step computes none.

Scalings to a longer context, with the wavelengths that `transformers` computes for the same fields: `linear` divides every angle by
the factor (Chen et al., 2023); `llama3` stretches only long wavelengths, with a ramp between (Llama 3.1's released code); `yarn` does
so by channel and multiplies queries and keys alike by 0.1 ln(factor) + 1, which sharpens attention (Peng et al., 2023).

Positions as a bias on attention's scores that depends on the head and the distance alone, the same in every layer.

ALiBi (Press et al., 2022): minus a fixed slope times the distance. Relative bias (T5; Raffel et al., 2020): a learned number for each
bucket of distances; near distances have a bucket each, far ones share ever wider buckets. Unlike T5, scores stay divided by sqrt(K).
Both are computed as a table by distance, which costs H numbers for each position of the context. Where tokens see later ones, half of the
buckets of a relative bias are for those.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from model.layers.config import PositionsConfig, SizeConfig


def positions_in_documents(documents_BT: Tensor) -> Tensor:
    """Return each token's position inside its own document, int64 [B, T], from the document ordinals of packed rows."""
    index_BT = torch.arange(documents_BT.shape[1], device=documents_BT.device).expand_as(documents_BT)
    starts_BT = torch.ones_like(documents_BT, dtype=torch.bool)
    starts_BT[:, 1:] = documents_BT[:, 1:] != documents_BT[:, :-1]
    return index_BT - torch.where(starts_BT, index_BT, 0).cummax(dim=1).values


class Alibi:
    """bias_HP for distances 0 .. P-1."""

    def __init__(self, config: PositionsConfig) -> None:
        self.slopes = alibi_slopes(config.heads)

    def table(self, length: int, device: torch.device) -> Tensor:
        slope_H = torch.tensor(self.slopes, dtype=torch.float32, device=device)
        return -slope_H[:, None] * torch.arange(length, dtype=torch.float32, device=device)[None, :]


class RelativeBias(nn.Embedding):
    """A learned number for each of `relative_buckets` and each head.

    bias_HP for distances 0 .. P-1; unless `causal` bias_HX for keys P-1 tokens earlier than the query to P-1 later.
    """

    def __init__(self, config: PositionsConfig, *, causal: bool = True) -> None:
        super().__init__(config.relative_buckets, config.heads)
        self.max_distance, self.causal = config.relative_distance, causal

    def table(self, length: int, device: torch.device) -> Tensor:
        if self.causal:
            bucket_X = relative_buckets(length, self.num_embeddings, self.max_distance)
        else:
            half = self.num_embeddings // 2
            back_P = relative_buckets(length, half, self.max_distance)
            bucket_X = torch.cat((back_P.flip(0), half + back_P[1:]))
        bias_XH: Tensor = self(bucket_X.to(device))
        return bias_XH.t()


def alibi_slopes(heads: int) -> list[float]:
    """Return each head's slope: 2^(-8 i / n) for i = 1 .. n.

    If n is not a power of two: the slopes of the power of two below, then every other slope of the power of two above.
    """
    power = 1 << (heads.bit_length() - 1)
    slopes = [2.0 ** (-8 * number / power) for number in range(1, power + 1)]
    return slopes + [2.0 ** (-4 * number / power) for number in range(1, 2 * (heads - power), 2)]


def relative_buckets(length: int, buckets: int, max_distance: int) -> Tensor:
    """Return the bucket of each distance 0 .. length-1, int64 [P].

    Half of the buckets hold one distance each; the others grow logarithmically, and the last takes `max_distance` and beyond.
    """
    exact = buckets // 2
    distance_P = torch.arange(length)
    log_share_P = (distance_P.clamp(min=1).float() / exact).log() / math.log(max_distance / exact)
    far_P = (exact + (log_share_P * (buckets - exact)).long()).clamp(max=buckets - 1)
    return torch.where(distance_P < exact, distance_P, far_P)


class LearnedPositions(nn.Embedding):
    """x_BTD plus a learned vector for each position below `context`."""

    def __init__(self, config: SizeConfig) -> None:
        super().__init__(config.context, config.width)

    def add(self, x_BTD: Tensor, positions_XT: Tensor, stop: int) -> Tensor:
        """Add the vectors of `positions_XT`, all below `stop`; raise ValueError for positions past the context."""
        if stop > self.num_embeddings:
            raise ValueError(f"position {stop - 1}: positions=learned ends with context={self.num_embeddings}; give fewer tokens")
        out_BTD: Tensor = x_BTD + self(positions_XT)
        return out_BTD


class SinusoidalPositions:
    """sqrt(width) x_BTD plus sine and cosine of the position at wavelengths from 2 pi to 10,000 x 2 pi, interleaved.

    The sinusoids have amplitude 1, so embeddings are multiplied by sqrt(width) first, as in the paper (section 3.4).
    """

    def __init__(self, config: SizeConfig) -> None:
        self.width = config.width
        self._tables: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def add(self, x_BTD: Tensor, positions_XT: Tensor, stop: int) -> Tensor:
        """Add the vectors of `positions_XT`, all below `stop`."""
        key = (x_BTD.device, x_BTD.dtype)
        table_PD = self._tables.get(key)
        if table_PD is None or len(table_PD) < stop:
            frequency = 10_000.0 ** -(torch.arange(0, self.width, 2).float() / self.width)
            angle_PF = torch.arange(stop, dtype=torch.float32)[:, None] * frequency[None, :]
            # Another thread may read texts with the same network; each goes on with the table that it has seen.
            self._tables[key] = table_PD = torch.stack((angle_PF.sin(), angle_PF.cos()), dim=-1).flatten(1).to(x_BTD)
        return x_BTD * math.sqrt(self.width) + table_PD[positions_XT]


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
