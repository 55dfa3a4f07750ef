"""Classes with biases: GPT-2, OPT and StarCoder2."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from model.networks.base import ModelError
from model.networks.hub.fields import block_names, renamed, rope_fields, rope_settings, window_fields, window_settings
from model.networks.hub.llama import Llama
from model.networks.hub.protocol import BOTH, PLAIN, PLAIN_NAMES, HubClass, require_one_of, shared_heads

if TYPE_CHECKING:
    from torch import Tensor

    from model.networks.config import DecoderConfig

ATTENTION, FEED_FORWARD = ("q_proj", "k_proj", "v_proj", "o_proj"), ("up_proj", "down_proj")


def missing_biases(config: DecoderConfig) -> tuple[str, ...]:
    """Return the projections of a block that this decoder gives no bias and its neighbours have one."""
    attention = () if config.attention_bias else ATTENTION
    return (*attention, *(() if config.feed_forward_bias else FEED_FORWARD))


def with_zeros(tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
    """Return a decoder's tensors with a zero bias added to each projection that has none."""
    filled, names = dict(tensors), missing_biases(config)
    for name, weight in tensors.items():
        owner, _, kind = name.rpartition(".")
        if kind == "weight" and owner.endswith(names):
            filled[f"{owner}.bias"] = weight.new_zeros(weight.shape[0])
    return filled


def without_zeros(tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
    """Return tensors without the biases that a decoder has no place for; ModelError if one is not zero."""
    names = missing_biases(config)
    extra = {name for name in tensors if name.endswith(".bias") and name.removesuffix(".bias").endswith(names)}
    if learned := next((name for name in sorted(extra) if bool(tensors[name].any())), ""):
        raise ModelError(f"{learned} is not zero, and config.json says that there aren't such biases; correct config.json")
    return {name: tensor for name, tensor in tensors.items() if name not in extra}


def bias_fields(config: DecoderConfig) -> dict[str, bool]:
    """Return which biases are a decoder's own, in fields of ours that transformers passes over."""
    return {"attention_bias": config.attention_bias, "feed_forward_bias": config.feed_forward_bias}


def bias_settings(fields: Mapping[str, object], present: bool) -> dict[str, bool]:
    """Return which biases a decoder has of those that a file holds (`present`): all, unless fields of ours say otherwise."""
    names = ("attention_bias", "feed_forward_bias")
    return {name: present and bool(fields.get(name, True)) for name in names}


GPT2_NAMES = {
    "model.embed_tokens.": "transformer.wte.",
    "model.embed_positions.": "transformer.wpe.",
    "model.norm.": "transformer.ln_f.",
}
GPT2_BLOCK = {
    "input_layernorm.": "ln_1.",
    "self_attn.qkv.": "attn.c_attn.",
    "self_attn.o_proj.": "attn.c_proj.",
    "post_attention_layernorm.": "ln_2.",
    "mlp.up_proj.": "mlp.c_fc.",
    "mlp.down_proj.": "mlp.c_proj.",
}
TRANSPOSED = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
QKV = ("q_proj", "k_proj", "v_proj")


class GPT2(HubClass["DecoderConfig"]):
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
    return GPT2_NAMES | block_names(config.layers, "model.layers.", "transformer.h.", GPT2_BLOCK)


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


class Opt(HubClass["DecoderConfig"]):
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
        found = renamed(with_zeros(tensors, config) if biased else tensors, _opt_names(config))
        table_PD = found[POSITIONS]
        unused_PD = table_PD.new_zeros(UNUSED, table_PD.shape[1])
        return found | {POSITIONS: torch.cat((unused_PD, table_PD))}

    def from_hub(self, tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
        cut = {name: tensor[UNUSED:] if name == POSITIONS else tensor for name, tensor in tensors.items()}
        names = _opt_names(config)
        return without_zeros(renamed(cut, {theirs: ours for ours, theirs in names.items()}), config)


def _opt_names(config: DecoderConfig) -> dict[str, str]:
    """Return OPT's names of a decoder's parts."""
    return NAMES | block_names(config.layers, "model.layers.", "model.decoder.layers.", BLOCK)


STARCODER2_NAMES = {".mlp.up_proj.": ".mlp.c_fc.", ".mlp.down_proj.": ".mlp.c_proj."}


class Starcoder2(HubClass["DecoderConfig"]):
    """Starcoder2ForCausalLM; all projections have biases or none has."""

    NAME: ClassVar[str] = "Starcoder2ForCausalLM"
    MODEL_TYPE: ClassVar[str] = "starcoder2"
    COMPUTES: ClassVar[Mapping[str, tuple[object, ...]]] = {
        "norm": ("layer",),
        "activation": PLAIN,
        "pattern": ("full", "sliding"),
        "attention_bias": BOTH,
        "feed_forward_bias": BOTH,
    }
    FIELDS: ClassVar[Mapping[str, str]] = {
        **{theirs: ours for theirs, ours in Llama.FIELDS.items() if ours not in ("norm_epsilon", "attention_bias", "feed_forward_bias")},
        "norm_epsilon": "norm_epsilon",
        "num_key_value_heads": "kv_heads",
    }
    DEFAULTS: ClassVar[Mapping[str, object]] = {
        **{"hidden_act": "gelu_pytorch_tanh", "initializer_range": 0.018042, "norm_epsilon": 1e-5, "use_bias": True},
        "tie_word_embeddings": True,
    }
    ACTIVATIONS: ClassVar[Mapping[str, str]] = PLAIN_NAMES
    DROPOUTS: ClassVar[tuple[str, ...]] = ("residual_dropout", "embedding_dropout", "attention_dropout")

    def more_fields(self, config: DecoderConfig) -> dict[str, Any]:
        fields = {**rope_fields(config), **window_fields(config), **bias_fields(config), "head_dim": config.head_dim}
        return {**fields, "use_bias": config.attention_bias or config.feed_forward_bias}

    def more_settings(self, fields: Mapping[str, Any], where: object) -> dict[str, Any]:
        window = window_settings(fields.get("sliding_window"), fields["max_position_embeddings"])
        biases = bias_settings(fields, fields["use_bias"])
        return {**rope_settings(fields, where), **window, **biases, "norm": "layer", "head_width": fields.get("head_dim") or 0}

    def to_hub(self, tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
        biased = config.attention_bias or config.feed_forward_bias
        return renamed(with_zeros(tensors, config) if biased else tensors, STARCODER2_NAMES)

    def from_hub(self, tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
        return without_zeros(renamed(tensors, {theirs: ours for ours, theirs in STARCODER2_NAMES.items()}), config)
