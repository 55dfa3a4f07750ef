"""GPT-2: learned positions, LayerNorm before each sublayer, multi-head attention, a feed-forward of two matrices, biases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from model.networks.errors import ModelError
from model.networks.hub.biases import bias_fields, bias_settings, with_zeros, without_zeros
from model.networks.hub.protocol import BOTH, PLAIN, PLAIN_NAMES, HubClass, shared_heads
from model.networks.hub.renaming import block_names, renamed

if TYPE_CHECKING:
    from torch import Tensor

    from model.networks.decoder_config import DecoderConfig

NAMES = {
    "model.embed_tokens.": "transformer.wte.",
    "model.embed_positions.": "transformer.wpe.",
    "model.norm.": "transformer.ln_f.",
}
BLOCK = {
    "input_layernorm.": "ln_1.",
    "self_attn.qkv.": "attn.c_attn.",
    "self_attn.o_proj.": "attn.c_proj.",
    "post_attention_layernorm.": "ln_2.",
    "mlp.up_proj.": "mlp.c_fc.",
    "mlp.down_proj.": "mlp.c_proj.",
}
TRANSPOSED = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
QKV = ("q_proj", "k_proj", "v_proj")


class GPT2(HubClass):
    """GPT2LMHeadModel. Queries, keys and values are one matrix there, and matrices are stored transposed."""

    NAME: ClassVar[str] = "GPT2LMHeadModel"
    MODEL_TYPE: ClassVar[str] = "gpt2"
    COMPUTES: ClassVar[Mapping[str, tuple[object, ...]]] = {
        **{"positions": ("learned",), "norm": ("layer",), "activation": PLAIN, "head_width": (0,)},
        **{"attention_bias": BOTH, "feed_forward_bias": BOTH},
    }
    FIELDS: ClassVar[Mapping[str, str]] = {
        **{"n_embd": "width", "n_layer": "layers", "n_head": "heads", "n_positions": "context"},
        **{"layer_norm_epsilon": "norm_epsilon", "initializer_range": "initial_std"},
    }
    DEFAULTS: ClassVar[Mapping[str, object]] = {
        **{"activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "initializer_range": 0.02, "tie_word_embeddings": True},
        **{"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "add_cross_attention": False, "resid_pdrop": 0.1},
    }
    ALWAYS: ClassVar[Mapping[str, object]] = {
        **{"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "add_cross_attention": False}
    }
    ACTIVATION: ClassVar[str] = "activation_function"
    ACTIVATIONS: ClassVar[Mapping[str, str]] = PLAIN_NAMES
    DROPOUTS: ClassVar[tuple[str, ...]] = ("resid_pdrop", "embd_pdrop", "attn_pdrop")
    BUFFERS: ClassVar[str] = r".*\.attn\.(masked_)?bias"  # causal masks

    def more_differences(self, config: DecoderConfig) -> Iterator[str]:
        yield from shared_heads(config)

    def more_fields(self, config: DecoderConfig) -> dict[str, Any]:
        return {"n_inner": config.feed_forward, **bias_fields(config)}

    def more_settings(self, fields: Mapping[str, Any], where: object) -> dict[str, Any]:
        kind = {"positions": "learned", "norm": "layer", "kv_heads": fields["n_head"]}
        return {**kind, "feed_forward": fields.get("n_inner") or 4 * fields["n_embd"], **bias_settings(fields, True)}

    def to_hub(self, tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
        import torch

        filled = with_zeros(tensors, config)
        for layer in range(config.layers):
            block = f"model.layers.{layer}.self_attn."
            for kind in ("weight", "bias"):
                filled[f"{block}qkv.{kind}"] = torch.cat([filled.pop(f"{block}{name}.{kind}") for name in QKV])
        names = _names(config)
        return {name: tensor.t() if name.endswith(TRANSPOSED) else tensor for name, tensor in renamed(filled, names).items()}

    def from_hub(self, tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
        # Files written from the class without a head, such as OpenAI's weights, lack the prefix.
        prefix = "transformer."
        whole = {name if name.startswith((prefix, "lm_head.")) else prefix + name: tensor for name, tensor in tensors.items()}
        upright = {name: tensor.t() if name.endswith(TRANSPOSED) else tensor for name, tensor in whole.items()}
        names = _names(config)
        found = renamed(upright, {theirs: ours for ours, theirs in names.items()})
        for layer in range(config.layers):
            block = f"model.layers.{layer}.self_attn."
            for kind in ("weight", "bias"):
                joint = found.pop(f"{block}qkv.{kind}", None)
                if joint is None or joint.shape[0] != 3 * config.width:
                    raise ModelError(f"transformer.h.{layer}.attn.c_attn.{kind} is missing or not of three times n_embd={config.width}")
                found |= {f"{block}{name}.{kind}": part.contiguous() for name, part in zip(QKV, joint.chunk(3), strict=True)}
        return without_zeros(found, config)


def _names(config: DecoderConfig) -> dict[str, str]:
    """Return GPT-2's names of a decoder's parts."""
    return NAMES | block_names(config.layers, "model.layers.", "transformer.h.", BLOCK)
