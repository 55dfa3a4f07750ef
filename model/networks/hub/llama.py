"""Llama and the classes that change little of it: Arcee, Mistral, Qwen3, SmolLM3, StableLM, DeepSeek-V3 without experts, VaultGemma."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from model.networks.hub.fields import layer_fields, layer_settings, renamed, rope_fields, rope_settings, window_fields, window_settings
from model.networks.hub.protocol import BOTH, PLAIN, PLAIN_NAMES, HubClass, require_one_of

if TYPE_CHECKING:
    from torch import Tensor

    from model.networks.config import DecoderConfig


class Llama(HubClass):
    """LlamaForCausalLM; its kin inherit what they share with it. A decoder's tensors have its names."""

    NAME: ClassVar[str] = "LlamaForCausalLM"
    MODEL_TYPE: ClassVar[str] = "llama"
    COMPUTES: ClassVar[Mapping[str, tuple[object, ...]]] = {"attention_bias": BOTH, "feed_forward_bias": BOTH}
    FIELDS: ClassVar[Mapping[str, str]] = {
        "hidden_size": "width",
        "intermediate_size": "feed_forward",
        "num_hidden_layers": "layers",
        "num_attention_heads": "heads",
        "max_position_embeddings": "context",
        "rms_norm_eps": "norm_epsilon",
        "initializer_range": "initial_std",
        "attention_bias": "attention_bias",
        "mlp_bias": "feed_forward_bias",
    }
    DEFAULTS: ClassVar[Mapping[str, object]] = {
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
    }
    DIVIDES: ClassVar[bool] = True  # whether the class requires a width divisible by the number of heads, even if it sets their width

    def more_differences(self, config: DecoderConfig) -> Iterator[str]:
        if self.DIVIDES and config.width % config.heads:
            yield f"width={config.width} with heads={config.heads}"

    def more_fields(self, config: DecoderConfig) -> dict[str, Any]:
        return {"num_key_value_heads": config.kv_heads, "head_dim": config.head_dim, **rope_fields(config)}

    def more_settings(self, fields: Mapping[str, Any], where: object) -> dict[str, Any]:
        return {
            "kv_heads": fields.get("num_key_value_heads") or fields["num_attention_heads"],
            "head_width": fields.get("head_dim") or 0,
            **rope_settings(fields, where),
        }


class Arcee(Llama):
    """ArceeForCausalLM; a decoder's tensors have its names."""

    NAME: ClassVar[str] = "ArceeForCausalLM"
    MODEL_TYPE: ClassVar[str] = "arcee"
    COMPUTES: ClassVar[Mapping[str, tuple[object, ...]]] = {"activation": PLAIN, "attention_bias": BOTH, "feed_forward_bias": BOTH}
    ACTIVATIONS: ClassVar[Mapping[str, str]] = PLAIN_NAMES
    DEFAULTS: ClassVar[Mapping[str, object]] = {**Llama.DEFAULTS, "hidden_act": "relu2"}


class Mistral(Llama):
    """MistralForCausalLM; a decoder's tensors have its names."""

    NAME: ClassVar[str] = "MistralForCausalLM"
    MODEL_TYPE: ClassVar[str] = "mistral"
    COMPUTES: ClassVar[Mapping[str, tuple[object, ...]]] = {"pattern": ("full", "sliding")}
    FIELDS: ClassVar[Mapping[str, str]] = {theirs: ours for theirs, ours in Llama.FIELDS.items() if not theirs.endswith("_bias")}
    DIVIDES: ClassVar[bool] = False

    def more_fields(self, config: DecoderConfig) -> dict[str, Any]:
        return {**super().more_fields(config), **window_fields(config)}

    def more_settings(self, fields: Mapping[str, Any], where: object) -> dict[str, Any]:
        window = window_settings(fields.get("sliding_window"), fields["max_position_embeddings"])
        return {**super().more_settings(fields, where), **window}


class Qwen3(Llama):
    """Qwen3ForCausalLM; a decoder's tensors have its names."""

    NAME: ClassVar[str] = "Qwen3ForCausalLM"
    MODEL_TYPE: ClassVar[str] = "qwen3"
    COMPUTES: ClassVar[Mapping[str, tuple[object, ...]]] = {"qk_norm": (True,), "attention_bias": BOTH, "pattern": ("full", "sliding")}
    FIELDS: ClassVar[Mapping[str, str]] = {theirs: ours for theirs, ours in Llama.FIELDS.items() if theirs != "mlp_bias"}
    DEFAULTS: ClassVar[Mapping[str, object]] = {**Llama.DEFAULTS, "head_dim": 128, "use_sliding_window": False}
    DIVIDES: ClassVar[bool] = False

    def more_fields(self, config: DecoderConfig) -> dict[str, Any]:
        return {**super().more_fields(config), **layer_fields(config)}

    def more_settings(self, fields: Mapping[str, Any], where: object) -> dict[str, Any]:
        return {**super().more_settings(fields, where), **layer_settings(fields, where), "qk_norm": True}


class SmolLM3(Llama):
    """SmolLM3ForCausalLM; a decoder's tensors have its names."""

    NAME: ClassVar[str] = "SmolLM3ForCausalLM"
    MODEL_TYPE: ClassVar[str] = "smollm3"
    COMPUTES: ClassVar[Mapping[str, tuple[object, ...]]] = {
        "attention_bias": BOTH,
        "feed_forward_bias": BOTH,
        "positions": ("rope", "none"),
        "pattern": ("full", "sliding"),
    }
    DEFAULTS: ClassVar[Mapping[str, object]] = {**Llama.DEFAULTS, "tie_word_embeddings": True}
    DIVIDES: ClassVar[bool] = False

    def more_fields(self, config: DecoderConfig) -> dict[str, Any]:
        rotated = [int(config.positions == "rope")] * config.layers
        return {**super().more_fields(config), **layer_fields(config), "no_rope_layers": rotated}

    def more_settings(self, fields: Mapping[str, Any], where: object) -> dict[str, Any]:
        layers = fields["num_hidden_layers"]
        rotated = fields["no_rope_layers"]
        require_one_of(where, "no_rope_layers", rotated, ([1] * layers, [0] * layers))
        positions = "rope" if rotated[0] else "none"
        return {**super().more_settings(fields, where), **layer_settings(fields, where), "positions": positions}


class StableLm(HubClass):
    """StableLmForCausalLM; a decoder's tensors have its names. A head's width is always width / heads."""

    NAME: ClassVar[str] = "StableLmForCausalLM"
    MODEL_TYPE: ClassVar[str] = "stablelm"
    COMPUTES: ClassVar[Mapping[str, tuple[object, ...]]] = {"norm": ("layer",), "head_width": (0,)}
    FIELDS: ClassVar[Mapping[str, str]] = {
        **{theirs: ours for theirs, ours in Llama.FIELDS.items() if ours not in ("norm_epsilon", "attention_bias", "feed_forward_bias")},
        "layer_norm_eps": "norm_epsilon",
        "num_key_value_heads": "kv_heads",
    }
    DEFAULTS: ClassVar[Mapping[str, object]] = {
        **{"hidden_act": "silu", "initializer_range": 0.02, "layer_norm_eps": 1e-5, "tie_word_embeddings": False},
        **{"use_qkv_bias": False, "qk_layernorm": False, "use_parallel_residual": False},
    }
    ALWAYS: ClassVar[Mapping[str, object]] = {"use_qkv_bias": False, "qk_layernorm": False, "use_parallel_residual": False}
    DROPOUTS: ClassVar[tuple[str, ...]] = ("hidden_dropout", "attention_dropout")

    def more_fields(self, config: DecoderConfig) -> dict[str, Any]:
        return {**rope_fields(config, partial_rotary_factor=1.0), "partial_rotary_factor": 1.0}

    def more_settings(self, fields: Mapping[str, Any], where: object) -> dict[str, Any]:
        return {"norm": "layer", **rope_settings(fields, where, partial_rotary_factor=1.0)}


EPSILON = 1e-6  # of the norms inside its attention, independent of the others


class DeepseekV3(HubClass):
    """DeepseekV3ForCausalLM whose layers are all dense; a decoder's tensors have its names."""

    NAME: ClassVar[str] = "DeepseekV3ForCausalLM"
    MODEL_TYPE: ClassVar[str] = "deepseek_v3"
    COMPUTES: ClassVar[Mapping[str, tuple[object, ...]]] = {
        **{"attention": ("latent",), "norm_epsilon": (EPSILON,), "attention_bias": BOTH, "rope_scaling": ("none", "linear", "llama3")},
    }
    FIELDS: ClassVar[Mapping[str, str]] = {
        **{theirs: ours for theirs, ours in Llama.FIELDS.items() if theirs != "mlp_bias"},
        **{"kv_lora_rank": "latent_width", "qk_rope_head_dim": "latent_rope_width"},
    }
    DEFAULTS: ClassVar[Mapping[str, object]] = {**Llama.DEFAULTS, "rope_interleave": True, "num_mtp_layers": 0}
    ALWAYS: ClassVar[Mapping[str, object]] = {"rope_interleave": False, "num_mtp_layers": 0}

    def more_fields(self, config: DecoderConfig) -> dict[str, Any]:
        return {
            "num_key_value_heads": config.heads,
            "q_lora_rank": config.latent_query_width or None,
            "qk_nope_head_dim": config.head_dim,
            "v_head_dim": config.head_dim,
            "first_k_dense_replace": config.layers,
            **rope_fields(config),
        }

    def more_settings(self, fields: Mapping[str, Any], where: object) -> dict[str, Any]:
        layers, head_width = fields["num_hidden_layers"], fields["qk_nope_head_dim"]
        require_one_of(where, "v_head_dim", fields["v_head_dim"], (head_width,))
        require_one_of(where, "first_k_dense_replace", min(fields["first_k_dense_replace"], layers), (layers,))
        latent = {"attention": "latent", "latent_query_width": fields["q_lora_rank"] or 0, "head_width": head_width}
        return {**latent, **rope_settings(fields, where)}


NAMES = {".post_attention_layernorm.": ".pre_feedforward_layernorm."}


class _AnyCap(tuple[object, ...]):
    """Every cap there is."""

    def __contains__(self, value: object) -> bool:
        return True


class VaultGemma(Llama):
    """VaultGemmaForCausalLM.

    It multiplies by 1 + its gains, and embeddings by the square root of the width. So gains are stored less 1 and embeddings divided by
    that root, and where they are the head as well, the last norm's gain makes up for it: equal to rounding.
    """

    NAME: ClassVar[str] = "VaultGemmaForCausalLM"
    MODEL_TYPE: ClassVar[str] = "vaultgemma"
    EXACT: ClassVar[bool] = False
    COMPUTES: ClassVar[Mapping[str, tuple[object, ...]]] = {
        **{"attention_soft_cap": _AnyCap(), "logit_soft_cap": _AnyCap()},
        **{"attention_bias": BOTH, "pattern": ("full", "sliding")},
    }
    FIELDS: ClassVar[Mapping[str, str]] = {theirs: ours for theirs, ours in Llama.FIELDS.items() if theirs != "mlp_bias"}
    DEFAULTS: ClassVar[Mapping[str, object]] = {
        **{name: value for name, value in Llama.DEFAULTS.items() if name not in ("mlp_bias", "hidden_act")},
        **{"hidden_activation": "gelu_pytorch_tanh", "head_dim": 256, "tie_word_embeddings": True},
    }
    ACTIVATION: ClassVar[str] = "hidden_activation"

    def more_fields(self, config: DecoderConfig) -> dict[str, Any]:
        caps = {"attn_logit_softcapping": config.attention_soft_cap or None, "final_logit_softcapping": config.logit_soft_cap or None}
        # The fused kernels that transformers takes otherwise know no cap on scores, and leave it out without a word.
        kernel = {"attn_implementation": "eager"} if config.attention_soft_cap else {}
        # It wants a window even where no layer has one.
        scaled = {
            "query_pre_attn_scalar": config.head_dim,
            "sliding_window": config.window if config.pattern == "sliding" else config.context,
        }
        return {**super().more_fields(config), **layer_fields(config), **caps, **kernel, **scaled}

    def more_settings(self, fields: Mapping[str, Any], where: object) -> dict[str, Any]:
        settings = super().more_settings(fields, where)
        require_one_of(where, "query_pre_attn_scalar", fields["query_pre_attn_scalar"], (fields["head_dim"],))
        caps = {
            "attention_soft_cap": fields["attn_logit_softcapping"] or 0.0,
            "logit_soft_cap": fields["final_logit_softcapping"] or 0.0,
        }
        return {**settings, **layer_settings(fields, where), **caps}

    def to_hub(self, tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
        root, found = config.width**0.5, dict(tensors)
        found["model.embed_tokens.weight"] = found["model.embed_tokens.weight"] / root
        if config.tied_embeddings:
            found["model.norm.weight"] = found["model.norm.weight"] * root
        return renamed({name: tensor - 1 if name.endswith("norm.weight") else tensor for name, tensor in found.items()}, NAMES)

    def from_hub(self, tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
        root, found = config.width**0.5, renamed(tensors, {theirs: ours for ours, theirs in NAMES.items()})
        found = {name: tensor + 1 if name.endswith("norm.weight") else tensor for name, tensor in found.items()}
        found["model.embed_tokens.weight"] = found["model.embed_tokens.weight"] * root
        if config.tied_embeddings:
            found["model.norm.weight"] = found["model.norm.weight"] / root
        return found
