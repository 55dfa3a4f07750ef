"""The architectures that a GGUF file may name: what its metadata and tensors are called in the class of transformers that computes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from model.networks.errors import ModelError

BLOCK = {
    **{"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj"},
    **{"attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm"},
    **{"ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"},
}
TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


@dataclass(frozen=True)
class Architecture:
    """One architecture.

    keys: metadata -> field of config.json, for those that hold it as it is. always: fields that are the same for every file. blocks: what
    the names of a block's tensors begin with. permuted: tensors whose rows llama.cpp stores in pairs. transposed: matrices that the class
    stores by input.
    """

    model_type: str
    keys: Mapping[str, str]
    always: Mapping[str, Any]
    block: Mapping[str, str]
    top: Mapping[str, str]
    blocks: str = "model.layers."
    permuted: tuple[str, ...] = ()
    transposed: tuple[str, ...] = ()
    optional: Mapping[str, str] = field(default_factory=dict)

    def tensor_name(self, name: str) -> str:
        """Return the class's name of a tensor; ModelError for one it does not have."""
        owner, _, kind = name.rpartition(".")
        if owner in self.top:
            return f"{self.top[owner]}.{kind}"
        number, _, part = owner.removeprefix("blk.").partition(".")
        if not owner.startswith("blk.") or part not in self.block:
            raise ModelError(f"tensor {name} has no place in a {self.model_type} model; take the model as a Hugging Face directory")
        return f"{self.blocks}{number}.{self.block[part]}.{kind}"


LLAMA_KEYS = {
    **{"embedding_length": "hidden_size", "feed_forward_length": "intermediate_size", "block_count": "num_hidden_layers"},
    **{"attention.head_count": "num_attention_heads", "context_length": "max_position_embeddings"},
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
}
LLAMA_OPTIONAL = {
    **{"attention.head_count_kv": "num_key_value_heads", "attention.key_length": "head_dim"},
    "attention.sliding_window": "sliding_window",
}
ARCHITECTURES: dict[str, Architecture] = {
    "llama": Architecture("llama", LLAMA_KEYS, {"hidden_act": "silu"}, BLOCK, TOP, permuted=("attn_q", "attn_k"), optional=LLAMA_OPTIONAL),
    "qwen3": Architecture(
        "qwen3",
        LLAMA_KEYS,
        {"hidden_act": "silu", "use_sliding_window": False},
        {**BLOCK, "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"},
        TOP,
        optional=LLAMA_OPTIONAL,
    ),
    "gpt2": Architecture(
        "gpt2",
        {
            **{"embedding_length": "n_embd", "feed_forward_length": "n_inner", "block_count": "n_layer", "context_length": "n_positions"},
            **{"attention.head_count": "n_head", "attention.layer_norm_epsilon": "layer_norm_epsilon"},
        },
        # The file says nothing of dropout.
        {"activation_function": "gelu_new", **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)},
        {
            **{"attn_norm": "ln_1", "attn_qkv": "attn.c_attn", "attn_output": "attn.c_proj"},
            **{"ffn_norm": "ln_2", "ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj"},
        },
        {"token_embd": "transformer.wte", "position_embd": "transformer.wpe", "output_norm": "transformer.ln_f", "output": "lm_head"},
        blocks="transformer.h.",
        transposed=("attn_qkv.weight", "attn_output.weight", "ffn_up.weight", "ffn_down.weight"),
    ),
}
