"""A decoder's shape: everything that decides how many parameters it has and what it computes from them.

Cheap to import (no torch), so that a recipe can be read at start-up. A shape that cannot be built is refused here, with the
field that is wrong, before anything runs. The defaults are Llama's choices; `hub_differences` names all others.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from model.layers.config import GATED, AttentionConfig, FeedForwardConfig, NormConfig
from model.networks.base import Ability, NetworkBase

if TYPE_CHECKING:
    from model.networks.decoder import Decoder


class DecoderConfig(FeedForwardConfig, NormConfig, AttentionConfig, NetworkBase, frozen=True, extra="forbid"):
    """A decoder-only Transformer; by default pre-norm, rotary positions, RMSNorm, SwiGLU, grouped-query attention."""

    SUPPORTS: ClassVar[frozenset[Ability]] = frozenset({"causal", "generation", "packed", "recompute", "tensor", "pipeline"})

    kind: Literal["decoder"] = Field("decoder", description="which network: a decoder-only Transformer")
    norm_place: Literal["pre", "post"] = Field(
        "pre", description="pre: before each sublayer and after the last block; post: on the stream after each addition, no last norm"
    )
    logit_soft_cap: float = Field(0.0, ge=0, description="logits become cap x tanh(logit / cap), as in Gemma 2; 0: off")
    tied_embeddings: bool = Field(True, description="compute logits with the token embeddings instead of a second matrix")
    initial_std: float = Field(0.02, gt=0, description="standard deviation of initial weights; residual outputs get less")

    def build(self, vocab_size: int, *, seed: int = 0) -> Decoder:
        """Return a decoder of this shape with initial weights drawn from the seed."""
        from model.networks.decoder import Decoder

        return Decoder(self, vocab_size, seed=seed)

    @property
    def whole_batch(self) -> bool:
        """Batch norm's statistics are those of all rows of a step."""
        return self.norm == "batch"

    def parameters(self, vocab_size: int) -> int:
        """Number of weights of a decoder of this shape over `vocab_size` tokens, embeddings included."""
        head = 0 if self.tied_embeddings else vocab_size * self.width
        embeddings = self.input_parameters(vocab_size, self.width) + head + self.position_parameters()
        block = self.attention_parameters() + self.feed_forward_parameters() + 2 * self.norm_parameters()
        return embeddings + self.layers * block + (self.norm_parameters() if self.norm_place == "pre" else 0)

    def hub_config(self, vocab_size: int) -> dict[str, Any]:
        """Return Hugging Face's LlamaConfig."""
        from model.networks.llama import llama_config

        return llama_config(self, vocab_size)

    def hub_differences(self) -> tuple[str, ...]:
        """Return each setting, as key=value, that Hugging Face's Llama does not compute; if empty, it loads there with the same logits."""
        llama = {
            "attention": ("grouped",),
            "pattern": ("full",),
            "positions": ("rope",),
            "norm": ("rms",),
            "norm_place": ("pre",),
            "activation": GATED,
            "qk_norm": (False,),
            "attention_soft_cap": (0.0,),
            "logit_soft_cap": (0.0,),
        }
        chosen: dict[str, Any] = {name: getattr(self, name) for name in llama}
        differing = [
            f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in chosen.items() if value not in llama[name]
        ]
        return (*differing, *([f"inputs={json.dumps([config.kind for config in self.inputs])}"] if self.inputs else []))
