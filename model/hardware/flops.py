"""How many operations training takes, counted from the model's shape. An addition and a multiplication are two operations.

Counted as usual in the field: six per weight and token (two forward, four backward: Kaplan et al. 2020, "Scaling laws for neural language
models", section 2.1), and 12 L A T for attention, with L layers of A = heads x head width over T tokens of context (Chowdhery et al. 2022,
"PaLM", appendix B, which defines MFU: these operations per second, as a share of a device's peak). Causal attention is counted in full, as
there. Recomputing activations takes time but does not count as the model's operations, so it lowers MFU.
"""

from __future__ import annotations

from model.networks.decoder_config import DecoderConfig


def product_weights(decoder: DecoderConfig, vocab_size: int) -> int:
    """Count the weights that every token is multiplied with: all but lookup tables. A tied embedding is also the output matrix."""
    looked_up = 0 if decoder.tied_embeddings else vocab_size * decoder.width
    looked_up += decoder.context * decoder.width if decoder.positions == "learned" else 0
    return decoder.parameters(vocab_size) - looked_up


def attention_span(decoder: DecoderConfig) -> int:
    """The largest number of tokens that one token attends to."""
    spans = {
        "full": decoder.context,
        "sliding": decoder.window,
        "block_sparse": decoder.block * (decoder.local_blocks + decoder.global_blocks),
    }
    return min(decoder.context, spans[decoder.pattern])


def attention_flops(decoder: DecoderConfig) -> float:
    """Operations of attention's two products for one trained token: 12 L A T, where T is at most the attention window."""
    rotary = decoder.heads * decoder.rotary_width if decoder.attention == "latent" else 0
    return 12.0 * decoder.layers * (decoder.heads * decoder.head_width + rotary / 2) * attention_span(decoder)


def training_flops(decoder: DecoderConfig, vocab_size: int) -> float:
    """Operations of the forward and backward pass for one token."""
    return 6.0 * product_weights(decoder, vocab_size) + attention_flops(decoder)


def utilization(decoder: DecoderConfig, vocab_size: int, tokens_per_second: float, peak: float) -> float:
    """Return the MFU of a training speed, 0 to 1; `peak`: operations per second of all devices together."""
    return tokens_per_second * training_flops(decoder, vocab_size) / peak
