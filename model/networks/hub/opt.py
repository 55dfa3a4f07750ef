"""OPT: learned positions, LayerNorm after each addition, multi-head attention, a feed-forward of two matrices, biases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from model.networks.hub.biases import bias_fields, bias_settings, with_zeros, without_zeros
from model.networks.hub.protocol import BOTH, PLAIN, PLAIN_NAMES, HubClass, require_one_of, shared_heads
from model.networks.hub.renaming import block_names, renamed

if TYPE_CHECKING:
    from torch import Tensor

    from model.networks.decoder_config import DecoderConfig

NAMES = {
    "model.embed_tokens.": "model.decoder.embed_tokens.",
    "model.embed_positions.": "model.decoder.embed_positions.",
}
BLOCK = {
    "input_layernorm.": "self_attn_layer_norm.",
    "self_attn.q_proj.": "self_attn.q_proj.",
    "self_attn.k_proj.": "self_attn.k_proj.",
    "self_attn.v_proj.": "self_attn.v_proj.",
    "self_attn.o_proj.": "self_attn.out_proj.",
    "post_attention_layernorm.": "final_layer_norm.",
    "mlp.up_proj.": "fc1.",
    "mlp.down_proj.": "fc2.",
}
POSITIONS = "model.decoder.embed_positions.weight"
UNUSED = 2  # rows of its position table before the first position
EPSILON = 1e-5


class Opt(HubClass):
    """OPTForCausalLM with norms after the sublayers, as the one of 350 million parameters has them."""

    NAME: ClassVar[str] = "OPTForCausalLM"
    MODEL_TYPE: ClassVar[str] = "opt"
    COMPUTES: ClassVar[Mapping[str, tuple[object, ...]]] = {
        **{"positions": ("learned",), "norm": ("layer",), "norm_place": ("post",), "norm_epsilon": (EPSILON,), "activation": PLAIN},
        **{"head_width": (0,), "attention_bias": BOTH, "feed_forward_bias": BOTH},
    }
    FIELDS: ClassVar[Mapping[str, str]] = {
        **{"hidden_size": "width", "ffn_dim": "feed_forward", "num_hidden_layers": "layers", "num_attention_heads": "heads"},
        **{"max_position_embeddings": "context", "init_std": "initial_std"},
    }
    DEFAULTS: ClassVar[Mapping[str, object]] = {
        **{"activation_function": "relu", "init_std": 0.02, "enable_bias": True, "tie_word_embeddings": True, "dropout": 0.1},
        **{"do_layer_norm_before": True, "layer_norm_elementwise_affine": True},
    }
    ALWAYS: ClassVar[Mapping[str, object]] = {"do_layer_norm_before": False, "layer_norm_elementwise_affine": True}
    ACTIVATION: ClassVar[str] = "activation_function"
    ACTIVATIONS: ClassVar[Mapping[str, str]] = PLAIN_NAMES
    DROPOUTS: ClassVar[tuple[str, ...]] = ("dropout", "attention_dropout")

    def more_differences(self, config: DecoderConfig) -> Iterator[str]:
        yield from shared_heads(config)

    def more_fields(self, config: DecoderConfig) -> dict[str, Any]:
        biased = config.attention_bias or config.feed_forward_bias
        return {"enable_bias": biased, "word_embed_proj_dim": config.width, **bias_fields(config)}

    def more_settings(self, fields: Mapping[str, Any], where: object) -> dict[str, Any]:
        require_one_of(where, "word_embed_proj_dim", fields.get("word_embed_proj_dim") or fields["hidden_size"], (fields["hidden_size"],))
        kind = {"positions": "learned", "norm": "layer", "norm_place": "post", "norm_epsilon": EPSILON}
        return {**kind, "kv_heads": fields["num_attention_heads"], **bias_settings(fields, fields["enable_bias"])}

    def to_hub(self, tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
        import torch

        biased = config.attention_bias or config.feed_forward_bias
        found = renamed(with_zeros(tensors, config) if biased else tensors, _names(config))
        table_PD = found[POSITIONS]
        unused_PD = table_PD.new_zeros(UNUSED, table_PD.shape[1])
        return found | {POSITIONS: torch.cat((unused_PD, table_PD))}

    def from_hub(self, tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
        cut = {name: tensor[UNUSED:] if name == POSITIONS else tensor for name, tensor in tensors.items()}
        names = _names(config)
        return without_zeros(renamed(cut, {theirs: ours for ours, theirs in names.items()}), config)


def _names(config: DecoderConfig) -> dict[str, str]:
    """Return OPT's names of a decoder's parts."""
    return NAMES | block_names(config.layers, "model.layers.", "model.decoder.layers.", BLOCK)
