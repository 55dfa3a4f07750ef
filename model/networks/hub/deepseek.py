"""DeepSeek-V3 without experts: a Llama with latent attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from model.networks.hub.llama import Llama
from model.networks.hub.protocol import BOTH, HubClass, require_one_of
from model.networks.hub.rope import rope_fields, rope_settings

if TYPE_CHECKING:
    from model.networks.decoder_config import DecoderConfig

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
