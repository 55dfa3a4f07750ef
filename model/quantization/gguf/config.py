"""Settings of a GGUF variant. Cheap to import: no torch, no library of GGUF."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from data.shards.model_folder import TOKENIZER_BYTES, naming, read_bytes
from model.names import NAME_PATTERN, NOT_IDENTITY
from model.networks.base import ModelError
from model.quantization.protocol import VariantBase

if TYPE_CHECKING:
    from model.networks.base import NetworkBase
    from model.quantization.gguf.quantizer import GgufQuantizer

Rounded = Literal["F32", "F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0"]
Mixed = Literal["Q6_K", "Q5_K_M", "Q5_K_S", "Q4_K_M", "Q4_K_S", "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K"]
BYTES = "byte_level_bpe"
SMALL = ("Q5_1", "Q5_0", "Q4_1", "Q4_0")


class GgufConfig(VariantBase):
    """One GGUF file with weights, tokenizer and chat template, for llama.cpp, Ollama and LM Studio."""

    FORMAT: ClassVar[str] = "gguf"
    TOKENIZES: ClassVar[bool] = True
    LIBRARIES: ClassVar[dict[str, str]] = {"gguf": "gguf", "llama_cpp_py_sync": "gguf"}

    kind: Literal["gguf"] = Field("gguf", description="names this kind of quantization: a file for llama.cpp")
    name: str = Field("gguf", pattern=NAME_PATTERN, json_schema_extra=NOT_IDENTITY, description="its folder and its metrics' prefix; name")
    type: Rounded | Mixed = Field(
        "Q8_0",
        description="how matrices are stored: F32, F16, BF16, blocks of 32 (Q8_0 to Q4_0), or llama.cpp's mixtures of blocks of 256 (the "
        "K-quants), which it falls back from, to blocks of 32, where a matrix is not so wide",
    )
    embeddings: Literal["", "F16", "Q8_0"] = Field(
        "", description="how token embeddings and the head are stored; empty: as type says, but not below Q8_0"
    )

    def refusal(self, network: NetworkBase, tokenizer: str) -> str:
        """Return what llama.cpp does not compute, or cannot split text by."""
        from model.quantization.gguf.architectures import architecture_of

        if tokenizer != BYTES:
            return f"llama.cpp splits text otherwise than tokenizer.kind={tokenizer}; set tokenizer.kind={BYTES}, or leave it out"
        try:
            architecture_of(network.hub_form(), "the model")
        except ModelError as error:
            return str(error)
        return ""

    def tokenizer_refusal(self, tokenizer: Path) -> str:
        """Return that llama.cpp knows no rule that splits text as the tokenizer does, if so."""
        from model.quantization.gguf.vocabulary import word_rule

        try:
            with naming(tokenizer):
                word_rule(json.loads(read_bytes(tokenizer, TOKENIZER_BYTES)), tokenizer.parent)
        except ModelError as error:
            return str(error)
        return ""

    def build(self) -> GgufQuantizer:
        """Return the writer and reader of such files."""
        from model.quantization.gguf.quantizer import GgufQuantizer

        return GgufQuantizer(self.type, self.embeddings or ("Q8_0" if self.type in SMALL or "_K" in self.type else ""))

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> GgufConfig:
        """Return the settings that config.json records."""
        return cls(type=entry.get("type", "Q8_0"), embeddings=entry.get("embeddings", ""))
