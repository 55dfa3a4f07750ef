"""The rules of thumb that a proposal follows, each with its source. Pure arithmetic.

They were fitted on runs far larger than a book: below about 1e17 operations they are extrapolations, good for the order of magnitude.
"""

from __future__ import annotations

import math

from model.networks.decoder_config import DecoderConfig

TOKENS_PER_PARAMETER = 20  # Hoffmann et al. 2022, "Training compute-optimal large language models"
GOOD_EPOCHS = 4  # Muennighoff et al. 2023, "Scaling data-constrained language models": up to here, repeated text is nearly as good as new
HALF_LIFE = 15.4  # the same, their R*: epochs after which repeating is worth little
VOCABULARIES = ((65536, 20e9), (32768, 1e9), (16384, 1e8), (8192, 2e7), (4096, 4e6), (2048, 5e5), (1024, 1e5))
MAX_EMBEDDED_SHARE = 1 / 3


def effective_epochs(epochs: float) -> float:
    """Return how many epochs of new text `epochs` of the same text are worth: 1 + R* (1 - exp(-(epochs - 1) / R*)).

    Muennighoff et al. 2023, equation 5, in units of the unique tokens; in the first epoch every token is new.
    """
    return epochs if epochs <= 1 else 1 + HALF_LIFE * (1 - math.exp(-(epochs - 1) / HALF_LIFE))


def learning_rate(flops: float) -> float:
    """Return AdamW's peak learning rate for a run of `flops` operations: 0.3118 C^-0.125 (DeepSeek-AI 2024, "DeepSeek LLM")."""
    return 0.3118 * math.pow(flops, -0.1250)


def batch_tokens(flops: float) -> float:
    """Return the tokens in a batch for a run of `flops` operations: 0.292 C^0.3271 (DeepSeek-AI 2024, "DeepSeek LLM")."""
    return 0.2920 * math.pow(flops, 0.3271)


def vocabulary_for(text_bytes: float, parameters: float, width: int) -> int:
    """Return a vocabulary size for the amount of text, as rare tokens are never learned; embeddings take at most a third of the parameters.

    folio's own rule: fitted to its tuned recipes and extended to the vocabularies of GPT-2 (50k) and Llama 2 (32k).
    """
    by_text = next((size for size, least in VOCABULARIES if text_bytes >= least), 512)
    while by_text > 512 and by_text * width > MAX_EMBEDDED_SHARE * parameters:
        by_text //= 2
    return by_text


def shape_for(parameters: float, vocab_size: int, like: DecoderConfig) -> DecoderConfig:
    """Return a decoder of about `parameters` parameters, embeddings included; context and every other choice as in `like`.

    Width / layers grows from 32 to 128, about as in GPT-3's table 2.1 (Brown et al. 2020; Kaplan et al. 2020 found that it matters little);
    head width is 32 to 128; two to four query heads share a key and value head; feed-forward is 8/3 of the width (Shazeer 2020), so that
    its three matrices cost as much as two of four times the width.
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
    """Return the head width for a decoder of this width."""
    return 32 if width < 512 else 64 if width < 2048 else 128


def _shape(width: int, layers: int, like: DecoderConfig) -> DecoderConfig:
    heads = width // head_width(width)
    wanted = heads // 4 if heads >= 8 else heads // 2
    shared = max(number for number in range(1, max(1, wanted) + 1) if heads % number == 0)
    inner = max(64, round(width * 8 / 3 / 64) * 64)
    sizes = {"width": width, "layers": layers, "heads": heads, "kv_heads": shared, "feed_forward": inner}
    return DecoderConfig(**{**like.model_dump(), **sizes})
