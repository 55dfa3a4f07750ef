"""The metadata of a GGUF file: what kind of model it holds, and config.json of the class of transformers that computes it.

The architectures that a GGUF file may name: what its metadata and tensors are called in the class of transformers that computes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from data.shards.model_folder import naming
from model.networks.base import ModelError
from model.opening.gguf.files import MOST_PARTS, GgufHeader, StoredTensor, parts_of

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


WAVES = "rope_freqs.weight"
# Llama 3.1's wavelengths, which a file holds as factors: they follow from the factor, of which these are published.
LLAMA3_FACTORS = (8.0, 32.0)
LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}


class GgufFile:
    """An open model, in one file or in parts; `path` is the first.

    Raise ModelError if it is none, if a part is missing or of another model, or if its architecture is not read here.
    """

    def __init__(self, path: Path) -> None:
        if not find_spec("gguf"):
            raise ModelError("kind=gguf needs gguf: pip install -e '.[gguf]', or take the model as a Hugging Face directory")
        self.path = path
        self._headers = [GgufHeader(part) for part in parts_of(path)]
        self._fields = self._headers[0].fields
        self._check_parts()
        self.tensors: dict[str, StoredTensor] = {}
        for header in self._headers:
            for name, tensor in header.tensors().items():
                if name in self.tensors:
                    raise ModelError(f"{header.path} holds {name}, and so does a part before it; fetch the parts again")
                self.tensors[name] = tensor
        if (count := self.get("split.tensors.count")) is not None and count != len(self.tensors):
            raise ModelError(f"{path} and its parts hold {len(self.tensors)} tensors of {count}; fetch the parts again")
        name = self.need("general.architecture")
        if not isinstance(name, str) or name not in ARCHITECTURES:
            raise ModelError(
                f"{path} holds architecture {name!r}; those that can be read are {', '.join(ARCHITECTURES)}; others may be as a "
                "Hugging Face directory"
            )
        self.name: str = name
        self.architecture: Architecture = ARCHITECTURES[name]

    def _check_parts(self) -> None:
        """Raise ModelError unless the files are all parts of one model, in order."""
        count = self.get("split.count", 1)
        if not isinstance(count, int) or not 0 <= count <= MOST_PARTS:
            raise ModelError(f"{self.path}: split.count is {count!r}, not a number of parts; fetch the parts again")
        if count > 1 and len(self._headers) != count:
            raise ModelError(
                f"{self.path} is one of {count} parts, and its name does not say which; name the files as they were, "
                f"NAME-00001-of-{count:05d}.gguf"
            )
        for number, header in enumerate(self._headers):
            told = [header.fields.get(key) for key in ("split.no", "split.count")]
            if len(self._headers) > 1 and told != [number, len(self._headers)]:
                raise ModelError(f"{header.path} is not part {number + 1} of {len(self._headers)}; fetch the parts again")

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key; `default` without one."""
        value = self._fields.get(key, default)
        # The file holds single precision, which writes 1e-05 as 9.999999747378752e-06.
        return float(f"{value:.7g}") if isinstance(value, float) else value

    def need(self, key: str) -> Any:
        """Return a value of the metadata; ModelError if it is missing."""
        if (value := self.get(key)) is None:
            raise ModelError(f"{self.path}: {key} is missing, so the model is unknown; fetch another file of it")
        return value

    def of_model(self, key: str, default: Any = None) -> Any:
        """Return a value of the metadata that belongs to the architecture."""
        return self.get(f"{self.name}.{key}", default)

    def config(self) -> dict[str, Any]:
        """Return config.json; raise ModelError for metadata that are not what they should be."""
        with naming(self.path):
            return self._config()

    def _config(self) -> dict[str, Any]:
        import numpy as np

        known, tensors = self.architecture, self.tensors
        fields = {theirs: self.need(f"{self.name}.{key}") for key, theirs in known.keys.items()}
        fields |= {theirs: value for key, theirs in known.optional.items() if (value := self.of_model(key)) is not None}
        if "token_embd.weight" not in tensors:
            raise ModelError(f"{self.path}: token_embd.weight is missing, so it is not a language model")
        output = tensors.get("output.weight")
        tied = output is None or (self.name == "gpt2" and np.array_equal(output.data, tensors["token_embd.weight"].data))
        biased = {kind: f"blk.0.{part}.bias" in tensors for kind, part in (("attention_bias", "attn_output"), ("mlp_bias", "ffn_down"))}
        return {
            "model_type": known.model_type,
            "vocab_size": int(tensors["token_embd.weight"].shape[1]),
            "tie_word_embeddings": tied,
            **fields,
            **known.always,
            **(biased | self._rope() if "position_embd.weight" not in tensors else {}),
        }

    def _rope(self) -> dict[str, Any]:
        """Return how positions are rotated; ModelError for a method that transformers does not have."""
        kind, factor = self.of_model("rope.scaling.type", "none"), self.of_model("rope.scaling.factor")
        rope: dict[str, Any] = {"rope_type": "default", "rope_theta": self.of_model("rope.freq_base", 10_000.0)}
        if kind in ("linear", "yarn") and factor:
            rope |= {"rope_type": kind, "factor": factor}
            if kind == "yarn" and (before := self.of_model("rope.scaling.original_context_length")):
                rope["original_max_position_embeddings"] = before
        elif kind not in ("none", "linear", "yarn"):
            raise ModelError(f"{self.path}: rope.scaling.type is {kind!r}; none, linear and yarn can be read")
        width = self.of_model("attention.key_length") or self.need(f"{self.name}.embedding_length") // self.need(
            f"{self.name}.attention.head_count"
        )
        if (rotated := self.of_model("rope.dimension_count", width)) != width:
            raise ModelError(f"{self.path}: rope.dimension_count is {rotated} of {width} numbers a head; all or none must be rotated")
        return {"rope_parameters": rope | self._own_wavelengths(rope["rope_theta"], width)}

    def _own_wavelengths(self, theta: float, width: int) -> dict[str, Any]:
        """Return Llama 3.1's scaling if the file's own wavelengths are that; ModelError for any other."""
        import numpy as np

        if WAVES not in self.tensors:
            return {}
        stored = np.asarray(self.tensors[WAVES].data, dtype=np.float64)
        if stored.shape != (width // 2,):
            raise ModelError(f"{self.path}: {WAVES} has shape {stored.shape}, and heads are {width} wide; fetch the model again")
        turns = LLAMA3["original_max_position_embeddings"] / (2 * np.pi * theta ** (np.arange(0, width, 2) / width))
        share = ((turns - LLAMA3["low_freq_factor"]) / (LLAMA3["high_freq_factor"] - LLAMA3["low_freq_factor"])).clip(0, 1)
        for factor in LLAMA3_FACTORS:
            if np.allclose(stored, 1 / ((1 - share) / factor + share), rtol=1e-4):
                return {"rope_type": "llama3", "factor": factor, **LLAMA3}
        raise ModelError(f"{self.path}: {WAVES} holds wavelengths that are not Llama 3.1's; take the model as a Hugging Face directory")
