"""Settings of the layers. A network's config inherits those of the layers that it is built of, so its keys stay in one flat section.

Cheap to import (no torch), so a recipe can be read at start-up. Each class refuses what its layers cannot compute, naming
the field; `NEEDS` says which switch a field depends on.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, Field, ValidationInfo, field_validator, model_validator

GATED = ("swiglu", "geglu")


class SizeConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Sizes of a network, and what several of its layers share."""

    width: int = Field(128, ge=8, le=2**20, description="size of the residual stream; numbers")
    layers: int = Field(4, ge=1, le=1_000, description="blocks of attention and feed-forward; count")
    heads: int = Field(4, ge=1, description="query heads; count; divides width into even parts unless head_width is given")
    kv_heads: int = Field(
        2, ge=1, description="key and value heads, shared by groups of query heads; count, divides heads; 1: multi-query, heads: multi-head"
    )
    feed_forward: int = Field(
        344,
        ge=8,
        description="inner size of the feed-forward, or of each expert; near 8/3 of the width if gated, else 4 times; numbers",
    )
    context: int = Field(128, ge=2, le=2**31 - 1, description="longest sequence it is trained on; tokens")
    norm_epsilon: float = Field(1e-5, gt=0, description="added to the mean square before its root; dimensionless")
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share dropped in training, of embeddings, sublayers' outputs and attention's probabilities; none in dpo and grpo",
    )


class PositionsConfig(SizeConfig, frozen=True, extra="forbid"):
    """The encoding of positions."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
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

    positions: Literal["rope", "learned", "sinusoidal", "alibi", "relative", "none"] = Field(
        "rope",
        description="how the order of tokens enters: rotated queries and keys (rope), an added vector (learned, sinusoidal), "
        "a bias on scores (alibi, relative), or not at all (none)",
    )
    rope_theta: float = Field(10_000.0, gt=1, description="base of the rotary wavelengths; larger for longer contexts")
    rope_scaling: Literal["none", "linear", "llama3", "yarn"] = Field(
        "none", description="how rotary wavelengths are stretched to a longer context"
    )
    rope_factor: float = Field(8.0, gt=1, description="how many times longer the context has become; dimensionless")
    rope_original_context: int = Field(0, ge=0, description="context that the wavelengths were trained for; tokens; 0: the context")
    rope_low_frequency: float = Field(
        1.0, gt=0, description="wavelengths with fewer turns in the original context are stretched by the whole factor; turns"
    )
    rope_high_frequency: float = Field(
        4.0, gt=0, description="wavelengths with more turns in the original context are left as they are; turns"
    )
    rope_beta_fast: float = Field(32.0, gt=0, description="wavelengths with more turns in the original context are left as they are; turns")
    rope_beta_slow: float = Field(
        1.0, gt=0, description="wavelengths with fewer turns in the original context are stretched by the whole factor; turns"
    )
    relative_buckets: int = Field(32, ge=4, description="buckets of distances, half of them for a single distance each; count, even")
    relative_distance: int = Field(128, ge=8, description="distance from which all fall into the last bucket; tokens")

    @model_validator(mode="after")
    def _check_positions(self) -> PositionsConfig:
        if self.positions == "sinusoidal" and self.width % 2:
            raise ValueError(f"width={self.width} and positions=sinusoidal: sines and cosines come in pairs; choose an even width")
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
        if self.rope_original_context >= self.context:
            raise ValueError(
                f"rope_original_context={self.rope_original_context} is not below context={self.context}; lower it; 0 is the context"
            )
        return self


class AttentionConfig(PositionsConfig, frozen=True, extra="forbid"):
    """The attention of a layer."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        **PositionsConfig.NEEDS,
        "kv_heads": ("attention=grouped",),
        "latent_width": ("attention=latent",),
        "latent_query_width": ("attention=latent",),
        "latent_rope_width": ("attention=latent and positions=rope",),
        "window": ("pattern=sliding",),
        "block": ("pattern=block_sparse",),
        "local_blocks": ("pattern=block_sparse",),
        "global_blocks": ("pattern=block_sparse",),
    }

    attention: Literal["grouped", "latent"] = Field(
        "grouped", description="grouped: MHA, GQA or MQA by kv_heads; latent: DeepSeek-V2's, keys and values from one small vector a token"
    )
    latent_width: int = Field(64, ge=8, description="size of the vector that keys and values are made from; numbers")
    latent_query_width: int = Field(
        0, ge=0, description="size of the vector that queries are made from; numbers; 0: straight from the residual stream"
    )
    latent_rope_width: int = Field(16, ge=2, description="size of the rotary part of each query and key; numbers, even")
    head_width: int = Field(
        0,
        ge=0,
        description="size of a head's query, key and value (if latent: without the rotary part); numbers; 0: width / heads",
    )
    attention_bias: bool = Field(False, description="biases on attention's projections")
    qk_norm: bool = Field(False, description="RMSNorm on each head's query and key, before positions, as in Qwen3")
    attention_soft_cap: float = Field(0.0, ge=0, description="scores become cap x tanh(score / cap), as in Gemma 2; 0: off")
    pattern: Literal["full", "sliding", "block_sparse"] = Field("full", description="what a token sees of its own document's past")
    window: int = Field(64, ge=1, description="tokens that a token sees, itself included")
    block: int = Field(32, ge=1, description="size of a block, counted from the document's start; tokens")
    local_blocks: int = Field(1, ge=0, description="blocks seen before a token's own; count")
    global_blocks: int = Field(1, ge=0, description="first blocks of a document, seen by all of it; count")

    @field_validator("head_width")
    @classmethod
    def _one_spelling(cls, head_width: int, info: ValidationInfo) -> int:
        """Write width / heads as 0, so equal networks have equal configs."""
        width, heads = info.data.get("width", 0), info.data.get("heads", 0)
        return 0 if head_width * heads == width else head_width

    @property
    def head_dim(self) -> int:
        """Size of one head's value, and of its query and key (in latent attention: of their part without positions)."""
        return self.head_width or self.width // self.heads

    @property
    def rotary_width(self) -> int:
        """The dimensions of a query or key that are rotated by position; 0 without rotary positions."""
        if self.positions != "rope":
            return 0
        return self.latent_rope_width if self.attention == "latent" else self.head_dim

    @property
    def attended(self) -> int:
        """The most tokens that one token attends to, itself included."""
        blocks = self.block * (self.local_blocks + self.global_blocks + 1)
        return min(self.context, {"full": self.context, "sliding": self.window, "block_sparse": blocks}[self.pattern])

    @model_validator(mode="after")
    def _check_attention(self) -> AttentionConfig:
        rotated = self.attention == "grouped" and self.positions == "rope"
        if not self.head_width and (self.width % self.heads or (rotated and self.head_dim % 2)):
            raise ValueError(
                f"width={self.width} over heads={self.heads}: each head needs a whole number, with rotary positions an even one; "
                f"choose a width that is a multiple of {2 * self.heads}, or give head_width"
            )
        if rotated and self.head_width % 2:
            raise ValueError(
                f"head_width={self.head_width} and positions=rope: rotary positions rotate pairs of numbers; choose an even one"
            )
        if self.attention == "grouped" and self.heads % self.kv_heads:
            raise ValueError(f"kv_heads={self.kv_heads} does not divide heads={self.heads}; choose a divisor")
        if self.latent_rope_width % 2:
            raise ValueError(f"latent_rope_width={self.latent_rope_width}: rotary positions rotate pairs of numbers; choose an even one")
        if self.attention == "latent" and self.qk_norm:
            raise ValueError("attention=latent and qk_norm=true: latent attention normalizes its latent vectors; set qk_norm: false")
        if self.pattern == "sliding" and self.window >= self.context:
            raise ValueError(f"window={self.window} hides nothing of context={self.context}; lower it, or pattern=full")
        seen = self.block * (self.local_blocks + self.global_blocks + 1)
        if self.pattern == "block_sparse" and seen >= self.context:
            raise ValueError(
                f"block={self.block}, local_blocks={self.local_blocks} and global_blocks={self.global_blocks} show {seen} tokens, which "
                f"hides nothing of context={self.context}; lower one, or pattern=full"
            )
        return self


class NormConfig(SizeConfig, frozen=True, extra="forbid"):
    """The normalization of the residual stream."""

    norm: Literal["rms", "layer", "batch"] = Field("rms", description="RMSNorm, LayerNorm, or BatchNorm over the tokens of a batch")


class BiasBalance(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A bias of each expert, added to its score where experts are chosen, rises while it is used less than evenly, as in DeepSeek-V3."""

    kind: Literal["bias"] = Field("bias", description="what keeps experts in even use: a bias on choices, moved after each step")
    # DeepSeek-V3's 0.001 is for tens of thousands of steps; in a thousand it hardly moves a choice.
    rate: float = Field(0.01, gt=0, lt=1, description="how far a bias moves after each step; scores are 0 to 1; dimensionless")


class LossBalance(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A term of the loss that is least where each sequence uses all experts evenly (Fedus et al., 2021; per sequence as in DeepSeek-V2)."""

    kind: Literal["loss"] = Field("loss", description="what keeps experts in even use: a term of the loss")
    weight: float = Field(0.01, gt=0, description="weight of the term, which is 1 where use is even; factor")


class NoBalance(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Experts are used as the router learns to."""

    kind: Literal["none"] = Field("none", description="what keeps experts in even use: nothing")


class ExpertsConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A mixture of experts: feed-forwards, of which a router chooses a few for each token (token choice, top k)."""

    count: int = Field(8, ge=2, le=1024, description="feed-forwards to choose from in each block; count")
    active: int = Field(2, ge=1, description="how many of them each token uses; count")
    shared: int = Field(0, ge=0, description="more of them, which every token uses, as one feed-forward so many times as wide; count")
    score: Literal["sigmoid", "softmax"] = Field(
        "sigmoid", description="what becomes of the router's logits: each by itself, as in DeepSeek-V3, or all together, as in Mixtral"
    )
    normalize: bool = Field(True, description="divide the weights of a token's experts by their sum; yes or no")
    scale: float = Field(1.0, gt=0, description="by which the experts' sum is multiplied, shared ones not counted; factor")
    balance: Annotated[BiasBalance | LossBalance | NoBalance, Field(discriminator="kind")] = Field(
        BiasBalance(), description="what keeps experts in even use while pretraining trains all weights"
    )
    router_loss: float = Field(
        0.0, ge=0, description="weight of the squared log-sum-exp of the router's logits (z loss, Zoph et al., 2022); 0: off; factor"
    )
    capacity: float = Field(
        0.0,
        ge=0,
        description="most tokens of a row that one expert takes in training, the first ones, as a multiple of an even share; the others do "
        "without it; 0: all; factor",
    )

    @model_validator(mode="after")
    def _tokens_choose(self) -> ExpertsConfig:
        if self.active >= self.count:
            raise ValueError(f"experts.active={self.active} of experts.count={self.count} leaves nothing to choose; lower active")
        if self.active == 1 and self.normalize:
            raise ValueError("experts.active=1 with normalize=true: every weight is 1, so the router learns nothing; set normalize=false")
        return self

    @property
    def used(self) -> int:
        """The number of feed-forwards that compute each token."""
        return self.active + self.shared


class FeedForwardConfig(SizeConfig, frozen=True, extra="forbid"):
    """The feed-forward's activation and biases."""

    activation: Literal["swiglu", "geglu", "relu", "relu2", "gelu", "gelu_tanh", "silu"] = Field(
        "swiglu",
        description="of the feed-forward; swiglu and geglu gate (three matrices), the others have two; relu2 is ReLU squared, GELU exact, "
        "or with gelu_tanh GPT-2's, by the hyperbolic tangent",
    )
    feed_forward_bias: bool = Field(False, description="biases on the feed-forward's projections")
    experts: ExpertsConfig | None = Field(None, description="a mixture of experts in place of each feed-forward; null: none")


class BlockConfig(FeedForwardConfig, NormConfig, AttentionConfig, frozen=True, extra="forbid"):
    """Every setting of a Transformer's block."""

    norm_place: Literal["pre", "post"] = Field(
        "pre", description="pre: before each sublayer and after the last block; post: on the stream after each addition, no last norm"
    )
