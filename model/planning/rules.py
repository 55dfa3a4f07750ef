"""The rules of thumb that a proposal follows, each with its source. Pure arithmetic.

They were fitted on runs far larger than a book: below about 1e17 operations they are extrapolated, and say the order of magnitude.
"""

from __future__ import annotations

import math

from model.networks.config import DecoderConfig

TOKENS_A_PARAMETER = 20  # Hoffmann et al. 2022, "Training compute-optimal large language models"
GOOD_PASSES = 4  # Muennighoff et al. 2023, "Scaling data-constrained language models": so often, text is nearly as good as new
HALF_LIFE = 15.4  # the same, their R*: passes after which repeating is worth little
VOCABULARIES = ((65536, 20e9), (32768, 1e9), (16384, 1e8), (8192, 2e7), (4096, 4e6), (2048, 5e5), (1024, 1e5))
MOST_EMBEDDED = 1 / 3


def worth_of(passes: float) -> float:
    """How many passes over new text `passes` over the same text are worth: 1 + R* (1 - exp(-(passes - 1) / R*)).

    Muennighoff et al. 2023, equation 5, in units of the unique tokens; up to one pass every token is new.
    """
    return passes if passes <= 1 else 1 + HALF_LIFE * (1 - math.exp(-(passes - 1) / HALF_LIFE))


def learning_rate(flops: float) -> float:
    """Peak of AdamW's learning rate for a training run of so many operations: 0.3118 C^-0.125 (DeepSeek-AI 2024, "DeepSeek LLM")."""
    return 0.3118 * math.pow(flops, -0.1250)


def batch_tokens(flops: float) -> float:
    """Tokens in a batch for a run of so many operations: 0.292 C^0.3271 (DeepSeek-AI 2024, "DeepSeek LLM")."""
    return 0.2920 * math.pow(flops, 0.3271)


def vocabulary_for(text_bytes: float, parameters: float, width: int) -> int:
    """Tokens in the vocabulary: by the amount of text, since a rare token is never learned; at most a third of the parameters.

    folio's own rule: what its recipes were tuned to, continued to the vocabularies of GPT-2 (50k) and Llama 2 (32k).
    """
    by_text = next((size for size, least in VOCABULARIES if text_bytes >= least), 512)
    while by_text > 512 and by_text * width > MOST_EMBEDDED * parameters:
        by_text //= 2
    return by_text


def shape_for(parameters: float, vocab_size: int, like: DecoderConfig) -> DecoderConfig:
    """A decoder of about so many parameters, embeddings included; context and every other choice as `like` has them.

    Width over layers grows from 32 to 128, about as in GPT-3's table 2.1 (Brown et al. 2020; Kaplan et al. 2020 found that it matters
    little); heads of 32 to 128 numbers; one key and value head for two to four query heads; feed-forward 8/3 of the width
    (Shazeer 2020), so that three matrices cost what two of four times the width do.
    """
    aspect = min(128.0, 32 * max(1.0, (parameters / 1e7) ** 0.22))
    found: tuple[float, DecoderConfig] | None = None
    for layers in range(2, 129):
        for width in _widths(layers, aspect):
            shape = _shape(width, layers, like)
            size = shape.parameters(vocab_size)
            error = abs(math.log(size / parameters)) + 0.3 * abs(math.log(width / layers / aspect))
            if found is None or error < found[0]:
                found = error, shape
    assert found is not None
    return found[1]


def _widths(layers: int, aspect: float) -> range:
    width = round(layers * aspect)
    step = head_width(width) * (2 if width < 768 else 4)
    low = max(step, math.floor(0.5 * layers * aspect / step) * step)
    return range(low, math.ceil(2 * layers * aspect / step) * step + 1, step)


def head_width(width: int) -> int:
    """Numbers in a head of a decoder of this width."""
    return 32 if width < 512 else 64 if width < 2048 else 128


def _shape(width: int, layers: int, like: DecoderConfig) -> DecoderConfig:
    heads = width // head_width(width)
    wanted = heads // 4 if heads >= 8 else heads // 2
    shared = max(number for number in range(1, max(1, wanted) + 1) if heads % number == 0)
    inner = max(64, round(width * 8 / 3 / 64) * 64)
    sizes = {"width": width, "layers": layers, "heads": heads, "kv_heads": shared, "feed_forward": inner}
    return DecoderConfig(**{**like.model_dump(), **sizes})
