"""Llama and the classes that change little of it: Arcee, Mistral, Qwen3, SmolLM3, StableLM, DeepSeek-V3, VaultGemma.

Of experts: Qwen3-MoE, Mixtral, GLM-4.5 and DeepSeek-V3, where all layers have them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from model.networks.hub.fields import (
    expert_fields,
    expert_settings,
    layer_fields,
    layer_settings,
    renamed,
    rope_fields,
    rope_settings,
    window_fields,
    window_settings,
)
from model.networks.hub.protocol import BOTH, PLAIN, PLAIN_NAMES, HubClass, require_one_of

if TYPE_CHECKING:
    from torch import Tensor

    from model.networks.config import DecoderConfig


class Llama(HubClass["DecoderConfig"]):
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


SOFTMAX: Mapping[str, tuple[object, ...]] = {
    **{"score": ("softmax",), "shared": (0,), "scale": (1.0,), "balance": ("loss", "none"), "normalize": BOTH},
}
QWEN3_EXPERTS = {"num_experts": "count", "num_experts_per_tok": "active", "norm_topk_prob": "normalize"}


class Qwen3Moe(Llama):
    """Qwen3MoeForCausalLM; a decoder's tensors have its names."""

    NAME: ClassVar[str] = "Qwen3MoeForCausalLM"
    MODEL_TYPE: ClassVar[str] = "qwen3_moe"
    COMPUTES: ClassVar[Mapping[str, tuple[object, ...]]] = {"qk_norm": (True,), "attention_bias": BOTH}
    EXPERTS: ClassVar[Mapping[str, tuple[object, ...]]] = SOFTMAX
    DENSE: ClassVar[bool] = False
    FIELDS: ClassVar[Mapping[str, str]] = {
        **{theirs: ours for theirs, ours in Qwen3.FIELDS.items() if ours != "feed_forward"},
        "moe_intermediate_size": "feed_forward",
    }
    DEFAULTS: ClassVar[Mapping[str, object]] = {
        **Qwen3.DEFAULTS,
        **{"decoder_sparse_step": 1, "mlp_only_layers": [], "router_aux_loss_coef": 0.001, "norm_topk_prob": False},
    }
    ALWAYS: ClassVar[Mapping[str, object]] = {"decoder_sparse_step": 1, "mlp_only_layers": [], "use_sliding_window": False}
    DIVIDES: ClassVar[bool] = False

    def more_fields(self, config: DecoderConfig) -> dict[str, Any]:
        assert config.experts is not None, "a network without experts differs"
        fields = {"intermediate_size": config.feed_forward, **expert_fields(config.experts, QWEN3_EXPERTS)}
        return {**super().more_fields(config), **fields}

    def more_settings(self, fields: Mapping[str, Any], where: object) -> dict[str, Any]:
        named = {**fields, "num_experts": fields.get("num_experts") or fields["num_local_experts"]}
        experts = expert_settings(named, QWEN3_EXPERTS, "softmax")
        return {**super().more_settings(fields, where), "qk_norm": True, "experts": experts}


MIXTRAL_EXPERTS = {"num_local_experts": "count", "num_experts_per_tok": "active"}
MIXTRAL_NAMES = {".gate_proj.": ".w1.", ".down_proj.": ".w2.", ".up_proj.": ".w3."}


class Mixtral(Mistral):
    """MixtralForCausalLM."""

    NAME: ClassVar[str] = "MixtralForCausalLM"
    MODEL_TYPE: ClassVar[str] = "mixtral"
    EXPERTS: ClassVar[Mapping[str, tuple[object, ...]]] = {**SOFTMAX, "normalize": (True,)}
    DENSE: ClassVar[bool] = False
    DEFAULTS: ClassVar[Mapping[str, object]] = {**Mistral.DEFAULTS, "router_aux_loss_coef": 0.001}

    def more_fields(self, config: DecoderConfig) -> dict[str, Any]:
        assert config.experts is not None, "a network without experts differs"
        return {**super().more_fields(config), **expert_fields(config.experts, MIXTRAL_EXPERTS)}

    def more_settings(self, fields: Mapping[str, Any], where: object) -> dict[str, Any]:
        return {**super().more_settings(fields, where), "experts": expert_settings(fields, MIXTRAL_EXPERTS, "softmax")}

    def to_hub(self, tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
        return {name.replace(".mlp.", ".block_sparse_moe."): tensor for name, tensor in renamed(tensors, MIXTRAL_NAMES).items()}

    def from_hub(self, tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
        ours = renamed(tensors, {theirs: ours for ours, theirs in MIXTRAL_NAMES.items()})
        return {name.replace(".block_sparse_moe.", ".mlp."): tensor for name, tensor in ours.items()}


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


class StableLm(HubClass["DecoderConfig"]):
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


SIGMOID: Mapping[str, tuple[object, ...]] = {"score": ("sigmoid",), "balance": ("bias",)}
GROUPED_EXPERTS = {
    **{"n_routed_experts": "count", "num_experts_per_tok": "active", "n_shared_experts": "shared"},
    **{"norm_topk_prob": "normalize", "routed_scaling_factor": "scale"},
}
ONE_GROUP: Mapping[str, object] = {"n_group": 1, "topk_group": 1}
SHARED = ".mlp.shared_experts."


def routed_fields(config: DecoderConfig) -> dict[str, Any]:
    """Return the fields of experts that are all in one group, in every layer; or in none."""
    if config.experts is None:
        return {"first_k_dense_replace": config.layers}
    experts = expert_fields(config.experts, GROUPED_EXPERTS)
    return {"first_k_dense_replace": 0, "moe_intermediate_size": config.feed_forward, **ONE_GROUP, **experts}


def routed_settings(fields: Mapping[str, Any], where: object) -> dict[str, Any]:
    """Return the settings of `routed_fields`; ModelError where some layers have experts, or groups of them are chosen first."""
    layers = fields["num_hidden_layers"]
    dense = min(fields["first_k_dense_replace"], layers)
    require_one_of(where, "first_k_dense_replace", dense, (0, layers))
    if dense:
        return {}
    for name, value in ONE_GROUP.items():
        require_one_of(where, name, fields.get(name), (value,))
    experts = expert_settings({"n_shared_experts": 0, **fields}, GROUPED_EXPERTS, "sigmoid")
    return {"feed_forward": fields["moe_intermediate_size"], "experts": experts}


def with_empty(tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
    """Return a decoder's tensors with the shared experts of a class that has them even where there are none, without a channel."""
    found = dict(tensors)
    if config.experts is not None and not config.experts.shared:
        for layer in range(config.layers):
            table = found["model.embed_tokens.weight"]
            for name, shape in (("gate", (0, config.width)), ("up", (0, config.width)), ("down", (config.width, 0))):
                found[f"model.layers.{layer}{SHARED}{name}_proj.weight"] = table.new_empty(shape)
    return found


def without_empty(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors without those of shared experts that have no channel."""
    return {name: tensor for name, tensor in tensors.items() if tensor.numel() or SHARED not in name}


class Glm4Moe(Llama):
    """Glm4MoeForCausalLM; a decoder's tensors have its names."""

    NAME: ClassVar[str] = "Glm4MoeForCausalLM"
    MODEL_TYPE: ClassVar[str] = "glm4_moe"
    COMPUTES: ClassVar[Mapping[str, tuple[object, ...]]] = {"qk_norm": BOTH}
    EXPERTS: ClassVar[Mapping[str, tuple[object, ...]]] = SIGMOID
    DENSE: ClassVar[bool] = False
    FIELDS: ClassVar[Mapping[str, str]] = {
        **{theirs: ours for theirs, ours in Mistral.FIELDS.items() if ours != "feed_forward"},
        **{"moe_intermediate_size": "feed_forward", "use_qk_norm": "qk_norm"},
    }
    DEFAULTS: ClassVar[Mapping[str, object]] = {**Llama.DEFAULTS, "use_qk_norm": False, "num_mtp_layers": 0, **ONE_GROUP}
    ALWAYS: ClassVar[Mapping[str, object]] = {"attention_bias": False, "num_mtp_layers": 0}
    DIVIDES: ClassVar[bool] = False

    def more_fields(self, config: DecoderConfig) -> dict[str, Any]:
        rope = {**rope_fields(config, partial_rotary_factor=1.0), "partial_rotary_factor": 1.0}
        return {**super().more_fields(config), **rope, "intermediate_size": config.feed_forward, **routed_fields(config)}

    def more_settings(self, fields: Mapping[str, Any], where: object) -> dict[str, Any]:
        require_one_of(where, "first_k_dense_replace", fields["first_k_dense_replace"], (0,))
        heads = {"kv_heads": fields["num_key_value_heads"], "head_width": fields.get("head_dim") or 0}
        return {**heads, **rope_settings(fields, where, partial_rotary_factor=1.0), **routed_settings(fields, where)}

    def to_hub(self, tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
        return with_empty(tensors, config)

    def from_hub(self, tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
        return without_empty(tensors)


EPSILON = 1e-6  # of the norms inside its attention, independent of the others


class DeepseekV3(HubClass["DecoderConfig"]):
    """DeepseekV3ForCausalLM whose layers all have experts, or none; a decoder's tensors have its names."""

    NAME: ClassVar[str] = "DeepseekV3ForCausalLM"
    MODEL_TYPE: ClassVar[str] = "deepseek_v3"
    COMPUTES: ClassVar[Mapping[str, tuple[object, ...]]] = {
        **{"attention": ("latent",), "norm_epsilon": (EPSILON,), "attention_bias": BOTH, "rope_scaling": ("none", "linear", "llama3")},
    }
    EXPERTS: ClassVar[Mapping[str, tuple[object, ...]]] = SIGMOID
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
            **routed_fields(config),
            **rope_fields(config),
        }

    def more_settings(self, fields: Mapping[str, Any], where: object) -> dict[str, Any]:
        head_width = fields["qk_nope_head_dim"]
        require_one_of(where, "v_head_dim", fields["v_head_dim"], (head_width,))
        latent = {"attention": "latent", "latent_query_width": fields["q_lora_rank"] or 0, "head_width": head_width}
        return {**latent, **rope_settings(fields, where), **routed_settings(fields, where)}

    def to_hub(self, tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
        return with_empty(tensors, config)

    def from_hub(self, tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
        return without_empty(tensors)


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

    def exact(self, config: DecoderConfig) -> bool:
        return False

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
        found = {name: tensor.float() + 1 if name.endswith("norm.weight") else tensor for name, tensor in found.items()}
        found["model.embed_tokens.weight"] = found["model.embed_tokens.weight"].float() * root
        if config.tied_embeddings:
            found["model.norm.weight"] = found["model.norm.weight"] / root
        return found
