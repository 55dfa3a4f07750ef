"""How many operations training takes, counted from the shape alone. An addition and a multiplication are two operations.

The count is the field's: six a weight and token (two forward, four backward: Kaplan et al. 2020, "Scaling laws for neural language
models", section 2.1) and 12 L A T for the attention's products, L layers of A = heads x head width over T tokens of context (Chowdhery et
al. 2022, "PaLM", appendix B, which defines MFU, the share of a device's peak that these operations come to). Causal attention is counted
in full, as there. What is recomputed to save memory takes time but is no part of the model's operations, so it lowers MFU.
"""

from __future__ import annotations

from model.networks.config import DecoderConfig


def product_weights(decoder: DecoderConfig, vocab_size: int) -> int:
    """Weights that every token is multiplied with: all but tables that are only looked up. A tied embedding is the output, too."""
    looked_up = 0 if decoder.tied_embeddings else vocab_size * decoder.width
    looked_up += decoder.context * decoder.width if decoder.positions == "learned" else 0
    return decoder.parameters(vocab_size) - looked_up


def span(decoder: DecoderConfig) -> int:
    """Most tokens that a token looks at."""
    seen = {
        "full": decoder.context,
        "sliding": decoder.window,
        "block_sparse": decoder.block * (decoder.local_blocks + decoder.global_blocks),
    }
    return min(decoder.context, seen[decoder.pattern])


def attention_flops(decoder: DecoderConfig) -> float:
    """Operations of the attention's two products for one trained token: 12 L A T; T is the window where there is one."""
    turning = decoder.heads * decoder.rotary_width if decoder.attention == "latent" else 0
    return 12.0 * decoder.layers * (decoder.heads * decoder.head_width + turning / 2) * span(decoder)


def training_flops(decoder: DecoderConfig, vocab_size: int) -> float:
    """Operations of forward and backward pass for one token."""
    return 6.0 * product_weights(decoder, vocab_size) + attention_flops(decoder)


def utilization(decoder: DecoderConfig, vocab_size: int, tokens_per_second: float, peak: float) -> float:
    """MFU: the share of `peak` (operations a second of all devices together) that a speed comes to; 0 to 1."""
    return tokens_per_second * training_flops(decoder, vocab_size) / peak
