"""The decoder's shape: everything that decides how many parameters it has and what it computes from them.

Cheap to import (no torch), so that a recipe can name it at start-up. A shape that cannot be built is refused here,
with the field that is wrong, not by a kernel an hour later.
The defaults are Llama's choices. `llama_differences` names every other one that keeps a decoder from being a Llama.
"""

from __future__ import annotations

import json
from typing import ClassVar, Literal

from pydantic import BaseModel, Field, model_validator

GATED = ("swiglu", "geglu")


class DecoderConfig(BaseModel, frozen=True, extra="forbid"):
    """A decoder-only Transformer; by default pre-norm, rotary positions, RMSNorm, SwiGLU, grouped-query attention."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "kv_heads": ("attention=grouped",),
        "latent_width": ("attention=latent",),
        "latent_query_width": ("attention=latent",),
        "latent_rope_width": ("attention=latent and positions=rope",),
        "window": ("pattern=sliding",),
        "block": ("pattern=block_sparse",),
        "local_blocks": ("pattern=block_sparse",),
        "global_blocks": ("pattern=block_sparse",),
        "rope_theta": ("positions=rope",),
        "rope_scaling": ("positions=rope",),
        "rope_factor": ("rope_scaling=linear", "rope_scaling=llama3", "rope_scaling=yarn"),
        "rope_original_context": ("rope_scaling=llama3", "rope_scaling=yarn"),
        "rope_low_frequency": ("rope_scaling=llama3",),
        "rope_high_frequency": ("rope_scaling=llama3",),
        "rope_beta_fast": ("rope_scaling=yarn",),
        "rope_beta_slow": ("rope_scaling=yarn",),
        "relative_buckets": ("positions=relative",),
        "relative_distance": ("positions=relative",),
    }

    width: int = Field(128, ge=8, description="size of the residual stream; numbers")
    layers: int = Field(4, ge=1, description="blocks of attention and feed-forward; count")
    heads: int = Field(4, ge=1, description="query heads; count, divides width into even parts")
    kv_heads: int = Field(
        2, ge=1, description="key and value heads, shared by groups of query heads; count, divides heads; 1: multi-query, heads: multi-head"
    )
    feed_forward: int = Field(
        344, ge=8, description="inner size of the feed-forward; near 8/3 of the width if gated, else 4 times; numbers"
    )
    context: int = Field(128, ge=2, description="longest sequence it is trained on; tokens")

    attention: Literal["grouped", "latent"] = Field(
        "grouped", description="grouped: MHA, GQA or MQA by kv_heads; latent: DeepSeek-V2's, keys and values from one small vector a token"
    )
    latent_width: int = Field(64, ge=8, description="of the vector that keys and values are made from; numbers")
    latent_query_width: int = Field(0, ge=0, description="of the vector that queries are made from; numbers; 0: straight from the stream")
    latent_rope_width: int = Field(16, ge=2, description="of the part of query and key that turns with position; numbers, even")

    pattern: Literal["full", "sliding", "block_sparse"] = Field("full", description="what a token sees of its own document's past")
    window: int = Field(64, ge=1, description="tokens a token sees, itself counted")
    block: int = Field(32, ge=1, description="size of a block, counted from the document's start; tokens")
    local_blocks: int = Field(1, ge=0, description="blocks seen before a token's own; count")
    global_blocks: int = Field(1, ge=0, description="first blocks of a document, seen by all of it; count")

    positions: Literal["rope", "learned", "sinusoidal", "alibi", "relative", "none"] = Field(
        "rope", description="how order is told: turned queries and keys, an added vector (learned, sinusoidal), a bias on scores, or not"
    )
    rope_theta: float = Field(10_000.0, gt=1, description="base of the rotary wavelengths; larger for longer contexts")
    rope_scaling: Literal["none", "linear", "llama3", "yarn"] = Field(
        "none", description="how rotary wavelengths are stretched to a longer context"
    )
    rope_factor: float = Field(8.0, gt=1, description="how many times longer the context has become; dimensionless")
    rope_original_context: int = Field(0, ge=0, description="context that the wavelengths were trained for; tokens; 0: the context")
    rope_low_frequency: float = Field(1.0, gt=0, description="turns in the original context below which a wavelength is stretched whole")
    rope_high_frequency: float = Field(4.0, gt=0, description="turns in the original context above which a wavelength stays")
    rope_beta_fast: float = Field(32.0, gt=0, description="turns in the original context above which a wavelength stays")
    rope_beta_slow: float = Field(1.0, gt=0, description="turns in the original context below which a wavelength is stretched whole")
    relative_buckets: int = Field(32, ge=4, description="distances told apart, half of them exactly; count, even")
    relative_distance: int = Field(128, ge=8, description="distance from which all fall into the last bucket; tokens")

    norm: Literal["rms", "layer", "batch"] = Field("rms", description="RMSNorm, LayerNorm, or BatchNorm over the tokens of a batch")
    norm_place: Literal["pre", "post"] = Field(
        "pre", description="on what each sublayer reads, or on the stream after its output was added (then no last norm)"
    )
    norm_epsilon: float = Field(1e-5, gt=0, description="added to the mean square before its root; dimensionless")
    activation: Literal["swiglu", "geglu", "relu", "gelu", "silu"] = Field(
        "swiglu", description="of the feed-forward; swiglu and geglu gate (three matrices), the others have two; GELU is the exact one"
    )
    attention_bias: bool = Field(False, description="biases on attention's projections")
    feed_forward_bias: bool = Field(False, description="biases on the feed-forward's projections")
    qk_norm: bool = Field(False, description="RMSNorm on each head's query and key, before positions, as Qwen3")
    attention_soft_cap: float = Field(0.0, ge=0, description="scores pass cap x tanh(score / cap), as Gemma 2; 0: as they are")
    logit_soft_cap: float = Field(0.0, ge=0, description="logits pass cap x tanh(logit / cap), as Gemma 2; 0: as they are")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="share dropped in training, of embeddings, sublayers' outputs and attention's probabilities"
    )

    tied_embeddings: bool = Field(True, description="read logits off the token embeddings instead of a second matrix")
    initial_std: float = Field(0.02, gt=0, description="standard deviation of initial weights; residual outputs get less")

    @property
    def head_width(self) -> int:
        """Numbers in one head's value, and in its query and key (of latent attention: the part without position)."""
        return self.width // self.heads

    @property
    def rotary_width(self) -> int:
        """Numbers of a query or key that turn with position; 0 without rotary positions."""
        if self.positions != "rope":
            return 0
        return self.latent_rope_width if self.attention == "latent" else self.head_width

    @model_validator(mode="after")
    def _shapes_fit(self) -> DecoderConfig:
        turned = self.attention == "grouped" and self.positions == "rope"
        if self.width % self.heads or (turned and self.head_width % 2):
            raise ValueError(
                f"width={self.width} over heads={self.heads}: each head needs a whole number, with rotary positions an even one; "
                f"choose a width that is a multiple of {2 * self.heads}"
            )
        if self.positions == "sinusoidal" and self.width % 2:
            raise ValueError(f"width={self.width} and positions=sinusoidal: sines and cosines come in pairs; choose an even width")
        if self.attention == "grouped" and self.heads % self.kv_heads:
            raise ValueError(f"kv_heads={self.kv_heads} does not divide heads={self.heads}; choose a divisor")
        if self.latent_rope_width % 2:
            raise ValueError(f"latent_rope_width={self.latent_rope_width}: positions turn pairs of numbers; choose an even one")
        if self.attention == "latent" and self.qk_norm:
            raise ValueError("attention=latent and qk_norm=true: latent attention normalizes its latent vectors; set qk_norm: false")
        if self.relative_buckets % 2 or self.relative_distance <= self.relative_buckets // 2:
            raise ValueError(
                f"relative_buckets={self.relative_buckets} and relative_distance={self.relative_distance}: half of the buckets are single "
                "distances; choose an even number of buckets and a distance above half of it"
            )
        if self.rope_scaling == "llama3" and self.rope_low_frequency >= self.rope_high_frequency:
            raise ValueError(
                f"rope_low_frequency={self.rope_low_frequency} is not below rope_high_frequency={self.rope_high_frequency}; lower it"
            )
        if self.rope_scaling == "yarn" and self.rope_beta_slow >= self.rope_beta_fast:
            raise ValueError(f"rope_beta_slow={self.rope_beta_slow} is not below rope_beta_fast={self.rope_beta_fast}; lower it")
        if self.pattern == "sliding" and self.window >= self.context:
            raise ValueError(f"window={self.window} hides nothing of context={self.context}; lower it, or pattern=full")
        seen = self.block * (self.local_blocks + self.global_blocks + 1)
        if self.pattern == "block_sparse" and seen >= self.context:
            raise ValueError(
                f"block={self.block}, local_blocks={self.local_blocks} and global_blocks={self.global_blocks} show {seen} tokens, which "
                f"hides nothing of context={self.context}; lower one, or pattern=full"
            )
        if self.rope_original_context >= self.context:
            raise ValueError(
                f"rope_original_context={self.rope_original_context} is not below context={self.context}; lower it; 0 is the context"
            )
        return self

    def parameters(self, vocab_size: int) -> int:
        """Number of weights of a decoder of this shape over `vocab_size` tokens, embeddings included."""
        norm = self.width * (1 if self.norm == "rms" else 2)
        total = vocab_size * self.width * (1 if self.tied_embeddings else 2) + self.layers * (
            self._attention() + self._feed_forward() + 2 * norm
        )
        total += norm if self.norm_place == "pre" else 0
        total += self.context * self.width if self.positions == "learned" else 0
        return total + (self.relative_buckets * self.heads if self.positions == "relative" else 0)

    def _attention(self) -> int:
        inner = self.heads * self.head_width
        if self.attention == "grouped":
            shared = self.kv_heads * self.head_width
            biases = inner + 2 * shared + self.width if self.attention_bias else 0
            return self.width * 2 * (inner + shared) + biases + (2 * self.head_width if self.qk_norm else 0)
        turning, latent, asking = self.rotary_width, self.latent_width, self.latent_query_width
        queries = self.heads * (self.head_width + turning)
        ask = self.width * asking + asking + asking * queries if asking else self.width * queries
        keep = self.width * (latent + turning) + latent + latent * 2 * inner
        biases = asking + latent + turning + self.width if self.attention_bias else 0
        return ask + keep + inner * self.width + biases

    def _feed_forward(self) -> int:
        into = 2 if self.activation in GATED else 1
        biases = into * self.feed_forward + self.width if self.feed_forward_bias else 0
        return (into + 1) * self.width * self.feed_forward + biases

    def llama_differences(self) -> tuple[str, ...]:
        """Each choice, as key=value, that Hugging Face's Llama does not compute; empty: it loads there with the same logits."""
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
        chosen = {name: getattr(self, name) for name in llama}
        return tuple(
            f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in chosen.items() if value not in llama[name]
        )
