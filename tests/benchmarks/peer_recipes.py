"""The recipes that `tests.benchmarks.bits_per_byte` compares ours with, in folio's own settings and as many parameters.

GPT-2 (Radford et al., 2019) as it is trained today: learned positions, LayerNorm before each part, biases, GELU over four times the width,
every head with keys of its own, tied embeddings; AdamW with betas 0.9 and 0.95 and decay 0.1, clipping at 1, a cosine to a tenth.

nanochat's (Karpathy, 2025): rotary positions, QK-norm, ReLU squared over four times the width, no biases, an untied head, logits capped at
15, projections that begin as zeros; Muon at 0.02 for matrices and AdamW with betas 0.8 and 0.95 at 0.2 for embeddings and 0.004 for the
head, both of these times (width / 768)^-0.5, no decay, no warm-up, no clipping, constant and over the last fifth linear to zero. Heads are
128 wide, or one where the width is less. What differs: RMSNorm keeps its gains, which learn at the head's rate, embeddings begin at 0.02
in place of 1, and ours is the orthogonalization.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from model.networks.config import DecoderConfig
from model.networks.meta import count_parameters

LARGEST_DIFFERENCE = 0.02
GPT2: dict[str, Any] = {
    "positions": "learned",
    "norm": "layer",
    "norm_place": "pre",
    "activation": "gelu",
    "attention_bias": True,
    "feed_forward_bias": True,
    "tied_embeddings": True,
    "initial_std": 0.02,
}
ADAMW: dict[str, Any] = {
    "optimizer": {"kind": "adamw", "beta1": 0.9, "beta2": 0.95, "epsilon": 1e-8},
    "weight_decay": 0.1,
    "clip": 1.0,
    "min_learning_rate_ratio": 0.1,
}
NANOCHAT: dict[str, Any] = {
    "qk_norm": True,
    "activation": "relu2",
    "tied_embeddings": False,
    "zero_outputs": True,
    "logit_soft_cap": 15.0,
    "initial_std": 0.02,
}
HEAD_WIDTH, REFERENCE_WIDTH = 128, 768
MATRIX_RATE, EMBEDDING_RATE, HEAD_RATE = 0.02, 0.2, 0.004  # the latter two at the reference width


@dataclass(frozen=True)
class Contender:
    """A recipe: its shape, what its training sets besides the budget, and the learning rates to try."""

    name: str
    decoder: DecoderConfig
    train: dict[str, Any]
    rates: tuple[float, ...]
    warms_up: bool = True


def gpt2(ours: DecoderConfig, vocabulary: int) -> Contender:
    """Return the GPT-2-style recipe of as many layers and heads. Raise ValueError if its size is more than 2 % from ours."""

    def shape(width: int) -> dict[str, Any]:
        return {"heads": ours.heads, "kv_heads": ours.heads, **GPT2}

    decoder = nearest("GPT-2 style", shape, range(2 * ours.heads, 2 * ours.width + 1, 2 * ours.heads), ours, vocabulary)
    return Contender("GPT-2 style", decoder, ADAMW, (6e-4, 2e-3, 4e-3))


def nanochat(ours: DecoderConfig, vocabulary: int) -> Contender:
    """Return the nanochat-like recipe of as many layers. Raise ValueError if its size is more than 2 % from ours."""

    def shape(width: int) -> dict[str, Any]:
        heads = max(count for count in range(1, max(1, width // HEAD_WIDTH) + 1) if width % (2 * count) == 0)
        return {"heads": heads, "kv_heads": heads, **NANOCHAT}

    decoder = nearest("nanochat-like", shape, range(8, 2 * ours.width + 1, 4), ours, vocabulary)
    scale = (decoder.width / REFERENCE_WIDTH) ** -0.5
    optimizer = {
        "kind": "muon",
        "momentum": 0.95,
        "beta1": 0.8,
        "beta2": 0.95,
        "epsilon": 1e-10,
        "embedding_learning_rate": EMBEDDING_RATE * scale,
        "head_learning_rate": HEAD_RATE * scale,
        "vector_learning_rate": HEAD_RATE * scale,
    }
    schedule = {"kind": "wsd", "decay_share": 0.2, "decay_shape": "linear", "min_learning_rate_ratio": 0.0}
    train = {"optimizer": optimizer, "schedule": schedule, "weight_decay": 0.0, "clip": 0.0}
    # Its update of a square matrix is orthogonal; ours has root mean square 0.2, which is 0.2 x width^0.5 times as much.
    rate = MATRIX_RATE / (0.2 * decoder.width**0.5)
    return Contender("nanochat-like", decoder, train, (rate / 2, rate, 2 * rate), warms_up=False)


PEERS: dict[str, Callable[[DecoderConfig, int], Contender]] = {"gpt2": gpt2, "nanochat": nanochat}


def nearest(
    name: str, shape: Callable[[int], dict[str, Any]], widths: Iterable[int], ours: DecoderConfig, vocabulary: int
) -> DecoderConfig:
    """Return the decoder of as many layers whose parameters are nearest to ours. Raise ValueError beyond 2 %."""
    wanted = count_parameters(ours, vocabulary)
    shared = {"layers": ours.layers, "context": ours.context}
    shapes = [DecoderConfig.model_validate({"width": width, "feed_forward": 4 * width, **shared, **shape(width)}) for width in widths]
    found = min(shapes, key=lambda decoder: abs(count_parameters(decoder, vocabulary) - wanted))
    apart = count_parameters(found, vocabulary) / wanted - 1
    if abs(apart) > LARGEST_DIFFERENCE:
        raise ValueError(
            f"the nearest {name} decoder has width {found.width} and {apart:+.1%} parameters, more than {LARGEST_DIFFERENCE:.0%} apart; "
            "choose another width with --set model.width=..."
        )
    return found
