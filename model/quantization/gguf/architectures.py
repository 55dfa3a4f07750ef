"""llama.cpp's names for transformers classes, the decoders of each that it computes, and the form of their tensors.

A class not listed has no equivalent in llama.cpp, or one that computes something else: DeepSeek-V3 is split differently there, SmolLM3
rotates by layer, VaultGemma and OPT do not exist. A window that hides anything is refused for all, since llama.cpp ignores it for these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from model.networks.directory import ModelError

if TYPE_CHECKING:
    from torch import Tensor

    from model.networks.config import DecoderConfig
    from model.networks.hub.protocol import HubForm


@dataclass(frozen=True)
class Architecture:
    """One architecture of llama.cpp.

    activations: those that it computes; of GELU it has the form by the hyperbolic tangent, and the exact one's logits are near. layer_norm:
    whether norms are LayerNorm, whose epsilon has a key of its own. interleaved: whether it rotates neighbouring numbers of a head, and not
    the two halves as transformers does, so queries and keys change their order. transposed: endings of the names of matrices that
    transformers stores the other way round. attention_bias, feed_forward_bias: whether it knows them. all_biases: whether it wants every
    bias, so those that are not there are zeros. own_head: whether it wants a head beside the token embeddings, even if they are the same.
    """

    name: str
    activations: tuple[str, ...] = ("swiglu",)
    layer_norm: bool = False
    interleaved: bool = False
    transposed: tuple[str, ...] = ()
    attention_bias: bool = True
    feed_forward_bias: bool = True
    all_biases: bool = False
    own_head: bool = False

    def refusals(self, config: DecoderConfig) -> Iterator[str]:
        """Yield each setting, as key=value, that llama.cpp does not compute in this architecture."""
        if config.activation not in self.activations:
            yield f"activation={config.activation}"
        if config.pattern != "full" and config.window < config.context:
            yield f"pattern={config.pattern} with window={config.window}"
        if config.positions == "rope" and config.rope_scaling not in ("none", "linear"):
            yield f"rope_scaling={config.rope_scaling}"
        for key in ("attention_bias", "feed_forward_bias"):
            if getattr(config, key) and not getattr(self, key):
                yield f"{key}=true"

    def to_gguf(self, tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
        """Return tensors of the class of transformers in the order that llama.cpp reads."""
        found = dict(tensors)
        if self.all_biases:
            found |= {
                name.removesuffix("weight") + "bias": tensor.new_zeros(tensor.shape[0])
                for name, tensor in tensors.items()
                if tensor.dim() == 2 and ".layers." in name and name.removesuffix("weight") + "bias" not in tensors
            }
        if self.own_head:
            found.setdefault("lm_head.weight", tensors["model.embed_tokens.weight"])
        return {name: self._there(name, tensor, config) for name, tensor in found.items()}

    def from_gguf(self, tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
        """Return the tensors that `to_gguf` was given, less those that it made."""
        return {name: self._back(name, tensor, config) for name, tensor in tensors.items()}

    def _there(self, name: str, tensor: Tensor, config: DecoderConfig) -> Tensor:
        if heads := self._rotated(name, config):
            return tensor.reshape(heads, 2, config.head_dim // 2, -1).swapaxes(1, 2).reshape(tensor.shape)
        return tensor.t() if name.endswith(self.transposed) else tensor

    def _back(self, name: str, tensor: Tensor, config: DecoderConfig) -> Tensor:
        if heads := self._rotated(name, config):
            return tensor.reshape(heads, config.head_dim // 2, 2, -1).swapaxes(1, 2).reshape(tensor.shape)
        return tensor.t() if name.endswith(self.transposed) else tensor

    def _rotated(self, name: str, config: DecoderConfig) -> int:
        """Return how many heads a tensor of queries or keys has, if their numbers change place."""
        owner = name.rpartition(".")[0] if self.interleaved else ""
        return config.heads if owner.endswith("q_proj") else config.kv_heads if owner.endswith("k_proj") else 0


GELU = ("gelu_tanh", "gelu")
LLAMA = Architecture("llama", interleaved=True)
ARCHITECTURES: Mapping[str, Architecture] = {
    "LlamaForCausalLM": LLAMA,
    "MistralForCausalLM": LLAMA,
    "Qwen3ForCausalLM": Architecture("qwen3", attention_bias=False, feed_forward_bias=False),
    "ArceeForCausalLM": Architecture("arcee", activations=("relu2",), interleaved=True, attention_bias=False, feed_forward_bias=False),
    "StableLmForCausalLM": Architecture("stablelm", layer_norm=True, own_head=True),
    "Starcoder2ForCausalLM": Architecture("starcoder2", activations=GELU, layer_norm=True, all_biases=True),
    "GPT2LMHeadModel": Architecture(
        "gpt2",
        activations=GELU,
        layer_norm=True,
        transposed=("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight"),
    ),
}


def architecture_of(form: HubForm | None, where: object) -> Architecture:
    """Return the architecture of llama.cpp that computes a decoder; ModelError, naming what is in the way, if none does."""
    if form is None:
        raise ModelError(f"{where} is not a class of transformers, and GGUF holds only those; leave the variant of kind gguf out")
    found = ARCHITECTURES.get(form.hub.NAME)
    if found is None:
        known = ", ".join(ARCHITECTURES)
        raise ModelError(f"{where} is a {form.hub.NAME}, which no GGUF file is written of; those that one is are {known}")
    if refusals := list(found.refusals(form.config)):
        raise ModelError(f"{where}: {', '.join(refusals)} is not what llama.cpp computes in its architecture {found.name}; change that")
    return found
