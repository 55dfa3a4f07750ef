"""Classes that read a text from both sides: EuroBERT, an encoder, and T5, an encoder and a decoder.

Both have more tokens than text has: the mask, or the sentinels, which follow the vocabulary there as here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from model.layers.config import GATED
from model.networks.base import ModelError
from model.networks.hub.fields import block_names, rope_fields, rope_settings
from model.networks.hub.protocol import PLAIN_NAMES, HubClass, require_one_of

if TYPE_CHECKING:
    from torch import Tensor

    from model.networks.config import EncoderConfig, EncoderDecoderConfig

HEAD = "lm_head.weight"
START = 0  # the id that T5's decoder reads first, as `encoder_decoder.START`


class EuroBert(HubClass["EncoderConfig"]):
    """EuroBertForMaskedLM, a Llama that sees all of its text. A head of its own has a row for the mask, too: zeros."""

    NAME: ClassVar[str] = "EuroBertForMaskedLM"
    MODEL_TYPE: ClassVar[str] = "eurobert"
    OPENED_BY: ClassVar[str] = "AutoModelForMaskedLM"
    CONFIG: ClassVar[str] = "model.networks.config:EncoderConfig"
    USUAL: ClassVar[Mapping[str, tuple[object, ...]]] = {"positions": ("rope",), "norm": ("rms",), "activation": GATED}
    FIELDS: ClassVar[Mapping[str, str]] = {
        **{"hidden_size": "width", "intermediate_size": "feed_forward", "num_hidden_layers": "layers", "num_attention_heads": "heads"},
        **{"max_position_embeddings": "context", "rms_norm_eps": "norm_epsilon", "initializer_range": "initial_std"},
    }
    DEFAULTS: ClassVar[Mapping[str, object]] = {
        **{"hidden_act": "silu", "initializer_range": 0.02, "rms_norm_eps": 1e-5, "tie_word_embeddings": False},
        **{"attention_bias": False, "mlp_bias": False},
    }
    ALWAYS: ClassVar[Mapping[str, object]] = {"attention_bias": False, "mlp_bias": False}
    DROPOUTS: ClassVar[tuple[str, ...]] = ("attention_dropout",)

    def beyond(self, config: EncoderConfig) -> int:
        return 1

    def fields(self, config: EncoderConfig, vocab_size: int) -> dict[str, Any]:
        return {**super().fields(config, vocab_size), "mask_token_id": vocab_size}

    def more_fields(self, config: EncoderConfig) -> dict[str, Any]:
        heads = {"num_key_value_heads": config.heads, "head_dim": config.width // config.heads}
        return {**heads, **rope_fields(config.layer_config)}

    def more_settings(self, fields: Mapping[str, Any], where: object) -> dict[str, Any]:
        heads, plain = fields["num_attention_heads"], self._plain(fields)
        require_one_of(where, "num_key_value_heads", fields.get("num_key_value_heads") or heads, (heads,))
        require_one_of(where, "head_dim", fields.get("head_dim") or plain.width // heads, (plain.width // heads,))
        require_one_of(where, "mask_token_id", fields.get("mask_token_id"), (fields["vocab_size"] - 1,))
        for name, value in rope_settings(fields, where).items():
            require_one_of(where, name, value, (getattr(plain.layer_config, name),))
        return {}

    def _plain(self, fields: Mapping[str, Any]) -> EncoderConfig:
        """Return an encoder of the width and heads in the fields, and the default of everything else."""
        from model.networks.config import EncoderConfig

        return EncoderConfig(width=fields["hidden_size"], heads=fields["num_attention_heads"])

    def to_hub(self, tensors: Mapping[str, Tensor], config: EncoderConfig) -> dict[str, Tensor]:
        found = {name if name == HEAD else f"model.{name}": tensor for name, tensor in tensors.items()}
        if (head := found.get(HEAD)) is not None:
            filled = head.new_zeros((len(head) + 1, config.width))
            filled[:-1] = head
            found[HEAD] = filled
        return found

    def from_hub(self, tensors: Mapping[str, Tensor], config: EncoderConfig) -> dict[str, Tensor]:
        found = {name.removeprefix("model."): tensor for name, tensor in tensors.items()}
        return found | {name: head[:-1] for name, head in found.items() if name == HEAD}


T5_NAMES = {
    "embed_tokens.": "shared.",
    "encoder_norm.": "encoder.final_layer_norm.",
    "norm.": "decoder.final_layer_norm.",
    "encoder_bias.": "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.",
    "decoder_bias.": "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.",
}
QUERIES = (".SelfAttention.q.weight", ".EncDecAttention.q.weight")


class T5(HubClass["EncoderDecoderConfig"]):
    """T5ForConditionalGeneration, as T5 1.1: its output is not scaled, and a tied head is stored beside the table, as older versions need.

    It does not divide scores by the root of a head's width; queries are stored that much smaller, exactly where the root is a power of two.
    """

    NAME: ClassVar[str] = "T5ForConditionalGeneration"
    MODEL_TYPE: ClassVar[str] = "t5"
    OPENED_BY: ClassVar[str] = "AutoModelForSeq2SeqLM"
    CONFIG: ClassVar[str] = "model.networks.config:EncoderDecoderConfig"
    USUAL: ClassVar[Mapping[str, tuple[object, ...]]] = {}
    FIELDS: ClassVar[Mapping[str, str]] = {
        **{"d_model": "width", "d_ff": "feed_forward", "num_layers": "layers", "num_heads": "heads", "n_positions": "context"},
        **{"relative_attention_num_buckets": "relative_buckets", "relative_attention_max_distance": "relative_distance"},
        **{"layer_norm_epsilon": "norm_epsilon", "initializer_range": "initial_std"},
    }
    DEFAULTS: ClassVar[Mapping[str, object]] = {
        **{"relative_attention_num_buckets": 32, "relative_attention_max_distance": 128, "layer_norm_epsilon": 1e-6, "n_positions": 512},
        **{"feed_forward_proj": "relu", "initializer_range": 0.02, "tie_word_embeddings": True},
    }
    ACTIVATION: ClassVar[str] = "feed_forward_proj"
    # Its "gated-gelu" is the approximation by the hyperbolic tangent, whatever the name says.
    ACTIVATIONS: ClassVar[Mapping[str, str]] = {"gated-gelu_python": "geglu", "gated-silu": "swiglu", **PLAIN_NAMES}
    DROPOUTS: ClassVar[tuple[str, ...]] = ("dropout_rate",)
    BUFFERS: ClassVar[str] = r"(en|de)coder\.embed_tokens\.weight"  # copies of the table

    def exact(self, config: EncoderDecoderConfig) -> bool:
        head = config.width // config.heads
        return head & (head - 1) == 0 and head.bit_length() % 2 == 1

    def beyond(self, config: EncoderDecoderConfig) -> int:
        return config.sentinels

    def more_fields(self, config: EncoderDecoderConfig) -> dict[str, Any]:
        return {
            **{"d_kv": config.width // config.heads, "num_decoder_layers": config.layers, "is_encoder_decoder": True},
            **{"tie_word_embeddings": False, "scale_decoder_outputs": False, "decoder_start_token_id": START},
            # Ours, which transformers passes over: it ties what is equal, and has no word for tokens that stand for gaps.
            **{"tied_embeddings": config.tied_embeddings, "sentinels": config.sentinels},
        }

    def more_settings(self, fields: Mapping[str, Any], where: object) -> dict[str, Any]:
        if not isinstance(fields.get("sentinels"), int) or not isinstance(fields.get("tied_embeddings"), bool):
            raise ModelError(
                f"{where}: sentinels or tied_embeddings is missing, so it was not written here, and its ids of gaps are others"
            )
        head, layers = fields["d_model"] // fields["num_heads"], fields["num_layers"]
        require_one_of(where, "d_kv", fields["d_kv"], (head,))
        require_one_of(where, "num_decoder_layers", fields.get("num_decoder_layers") or layers, (layers,))
        scaled = fields.get("scale_decoder_outputs", fields["tie_word_embeddings"])
        require_one_of(where, "scale_decoder_outputs", scaled, (False,))
        require_one_of(where, "decoder_start_token_id", fields.get("decoder_start_token_id", START), (START,))
        return {name: fields[name] for name in ("sentinels", "tied_embeddings")}

    def to_hub(self, tensors: Mapping[str, Tensor], config: EncoderDecoderConfig) -> dict[str, Tensor]:
        names = dict(_t5_names(config))
        found = {_renamed(name, names): tensor for name, tensor in tensors.items()}
        found.setdefault(HEAD, found["shared.weight"].clone())
        scale = (config.width // config.heads) ** -0.5
        return {name: tensor * scale if name.endswith(QUERIES) else tensor for name, tensor in found.items()}

    def from_hub(self, tensors: Mapping[str, Tensor], config: EncoderDecoderConfig) -> dict[str, Tensor]:
        names, scale = {theirs: ours for ours, theirs in _t5_names(config)}, (config.width // config.heads) ** 0.5
        found = {name: tensor.float() * scale if name.endswith(QUERIES) else tensor for name, tensor in tensors.items()}
        if config.tied_embeddings:
            found.pop(HEAD, None)
        return {_renamed(name, names): tensor for name, tensor in found.items()}


def _renamed(name: str, names: Mapping[str, str]) -> str:
    """Return a tensor's name with the beginning that `names` has replaced; one that it has not stays as it is."""
    old = next((part for part in names if name.startswith(part)), "")
    return names.get(old, "") + name.removeprefix(old)


def _t5_names(config: EncoderDecoderConfig) -> Iterator[tuple[str, str]]:
    """Yield the beginnings of a network's names and T5's."""
    gated = config.activation in GATED
    inner = {"gate_proj.": "wi_0.", "up_proj.": "wi_1." if gated else "wi.", "down_proj.": "wo."}
    yield from T5_NAMES.items()
    own, crossed = ("input_layernorm.", "self_attn.", "SelfAttention."), ("cross_layernorm.", "cross_attn.", "EncDecAttention.")
    for stack, attentions in {"encoder": [own], "decoder": [own, crossed]}.items():
        parts = {f"mlp.{ours}": f"layer.{len(attentions)}.DenseReluDense.{theirs}" for ours, theirs in inner.items()}
        parts["post_attention_layernorm."] = f"layer.{len(attentions)}.layer_norm."
        for place, (norm, ours, theirs) in enumerate(attentions):
            parts[norm] = f"layer.{place}.layer_norm."
            parts |= {f"{ours}{name}_proj.": f"layer.{place}.{theirs}{name}." for name in "qkvo"}
        yield from block_names(config.layers, f"{stack}.", f"{stack}.block.", parts).items()
