"""VaultGemma: a Llama without feed-forward biases, with caps on scores and logits and a window if wanted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from model.networks.hub.llama import Llama
from model.networks.hub.protocol import BOTH, require_one_of
from model.networks.hub.renaming import renamed
from model.networks.hub.window import layer_fields, layer_settings

if TYPE_CHECKING:
    from torch import Tensor

    from model.networks.decoder_config import DecoderConfig

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
