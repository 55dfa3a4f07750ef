"""The decoder: tokens in, a logit for each next token out. Parameters carry Hugging Face's Llama names.

Guarantee: `transformers.LlamaForCausalLM` loaded with the same tensors gives the same logits (1e-5 in fp32), for every choice
that `DecoderConfig.llama_differences` does not name. The same seed gives the same initial weights, tensor by tensor: each is
drawn from its own name, so adding a layer moves no other.
Cost: about 6 floating point operations a parameter and token to train, 2 to evaluate; 8 to train with `recompute`.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from model.layers.attend import Sight
from model.layers.attention import Attention, KeyValueCache, Rotary
from model.layers.attention_plan import View
from model.layers.biases import Alibi, RelativeBias
from model.layers.feed_forward import FeedForward
from model.layers.latent_attention import LatentAttention
from model.layers.norms import make_norm
from model.layers.rotary import RotaryTable
from model.layers.vectors import LearnedPositions, SinusoidalPositions
from model.networks.config import DecoderConfig


@dataclass(frozen=True)
class Frame:
    """What all blocks of one forward pass share besides the residual stream. No tuple: ZeRO takes a block's tuples apart."""

    rotary: Rotary | None
    sight: Sight


class Block(nn.Module):
    """Attention, then feed-forward, each added to the residual stream; a norm before each, or after each addition."""

    def __init__(self, config: DecoderConfig, layer: int) -> None:
        super().__init__()
        self.post, self.dropout = config.norm_place == "post", config.dropout
        self.input_layernorm = make_norm(config, rounded=not self.post)
        self.self_attn = (Attention if config.attention == "grouped" else LatentAttention)(config, layer)
        self.post_attention_layernorm = make_norm(config, rounded=not self.post)
        self.mlp = FeedForward(config)

    def forward(self, x_BTD: Tensor, frame: Frame, cache: KeyValueCache | None = None) -> Tensor:
        if self.post:
            x_BTD = self.input_layernorm(x_BTD + self._dropped(self.self_attn(x_BTD, frame.rotary, frame.sight, cache)))
            out_BTD: Tensor = self.post_attention_layernorm(x_BTD + self._dropped(self.mlp(x_BTD)))
            return out_BTD
        x_BTD = x_BTD + self._dropped(self.self_attn(self.input_layernorm(x_BTD), frame.rotary, frame.sight, cache))
        out_BTD = x_BTD + self._dropped(self.mlp(self.post_attention_layernorm(x_BTD)))
        return out_BTD

    def _dropped(self, x_BTD: Tensor) -> Tensor:
        return functional.dropout(x_BTD, self.dropout) if self.dropout and self.training else x_BTD


class Trunk(nn.Module):
    """Embedding, blocks and last norm: everything but the reading of logits."""

    def __init__(self, config: DecoderConfig, vocab_size: int) -> None:
        super().__init__()
        self.config, self.recompute = config, False
        self.embed_tokens = nn.Embedding(vocab_size, config.width)
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.norm = make_norm(config) if config.norm_place == "pre" else nn.Identity()
        self.rotary = RotaryTable(config) if config.positions == "rope" else None
        self.embed_positions: LearnedPositions | SinusoidalPositions | None = None
        if config.positions in ("learned", "sinusoidal"):
            self.embed_positions = (LearnedPositions if config.positions == "learned" else SinusoidalPositions)(config)
        self.position_bias: Alibi | RelativeBias | None = None
        if config.positions in ("alibi", "relative"):
            self.position_bias = (Alibi if config.positions == "alibi" else RelativeBias)(config)

    def forward(
        self,
        tokens_BT: Tensor,
        positions_BT: Tensor | None = None,
        documents_BT: Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """x_BTD after the last norm. See `Decoder.forward` for the arguments."""
        if documents_BT is not None and cache is not None:
            raise ValueError("documents_BT and cache together: packed rows are for training, a cache holds one text")
        x_BTD = self.embed_tokens(tokens_BT)
        view = View(self.config, x_BTD, cache.length if cache is not None else 0, positions_BT, documents_BT, training=self.training)
        x_BTD = self.placed(x_BTD, view)
        frame = self.frame(x_BTD, view, cached=cache is not None)
        for block in self.layers:
            if self.recompute and self.training and cache is None:
                x_BTD = checkpoint(block, x_BTD, frame, use_reentrant=False)
            else:
                x_BTD = block(x_BTD, frame, cache)
        normed: Tensor = self.norm(x_BTD)
        return normed

    def placed(self, x_BTD: Tensor, view: View) -> Tensor:
        """What goes into the first block: embeddings with their positions' vectors, and dropout."""
        if self.embed_positions is not None:
            x_BTD = self.embed_positions.add(x_BTD, view.places(), view.end)
        return functional.dropout(x_BTD, self.config.dropout) if self.config.dropout and self.training else x_BTD

    def frame(self, x_BTD: Tensor, view: View, *, cached: bool = False) -> Frame:
        """What all blocks share, for texts seen as `view` says."""
        return Frame(self._rotary(x_BTD, view), view.sight(self.position_bias, cached=cached))

    def _rotary(self, x_BTD: Tensor, view: View) -> Rotary | None:
        if self.rotary is None:
            return None
        cos_PR, sin_PR = (table.to(view.dtype) for table in self.rotary.upto(view.end, x_BTD))
        positions_BT = view.positions_BT
        if positions_BT is None:
            return cos_PR[view.start : view.stop], sin_PR[view.start : view.stop]
        return cos_PR[positions_BT][:, None], sin_PR[positions_BT][:, None]


class Decoder(nn.Module):
    """A decoder-only Transformer over `vocab_size` tokens, initialized from `seed`."""

    def __init__(self, config: DecoderConfig, vocab_size: int, *, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        self.model = Trunk(config, vocab_size)
        self.lm_head = None if config.tied_embeddings else nn.Linear(config.width, vocab_size, bias=False)
        initialize(self, seed)

    @property
    def recompute(self) -> bool:
        """Whether training keeps only what enters each block, and computes the block again on the way back: less memory, more time.

        Gradients are the same bits, dropout included. ValueError with batch norm, whose running statistics would move twice.
        """
        return self.model.recompute

    @recompute.setter
    def recompute(self, on: bool) -> None:
        if on and self.config.norm == "batch":
            raise ValueError("recompute=true with norm=batch: computing a block again would move its running statistics twice")
        self.model.recompute = on

    def forward(
        self,
        tokens_BT: Tensor,
        positions_BT: Tensor | None = None,
        documents_BT: Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """logits_BTV for the token after each of tokens_BT (int64).

        documents_BT: ordinal of the document each token belongs to; attention stays inside it and positions restart
        at each. None: every row is one text, which is the faster path.
        positions_BT: positions to use instead (from 0); with a cache they continue after `cache.length` by default.
        cache: keys and values of the tokens before these; it takes the new ones up.
        """
        return self.unembed(self.model(tokens_BT, positions_BT, documents_BT, cache))

    def unembed(self, x_ND: Tensor) -> Tensor:
        """logits_NV of vectors that left the trunk."""
        weight_VD = self.model.embed_tokens.weight if self.lm_head is None else self.lm_head.weight
        return capped(functional.linear(x_ND, weight_VD), self.config.logit_soft_cap)


def capped(logits_NV: Tensor, cap: float) -> Tensor:
    """Logits held smoothly between -cap and cap, as Gemma 2 does; 0: as they are."""
    return cap * (logits_NV / cap).tanh() if cap else logits_NV


def initialize(decoder: Decoder, seed: int) -> None:
    """Normal weights, unit gains, no biases; outputs into the residual stream scaled down by sqrt(2 layers), as GPT-2.

    2 * layers outputs add up in the stream: the scale keeps its variance at the end near that at the start.
    """
    config = decoder.config
    for name, parameter in decoder.named_parameters():
        if parameter.dim() == 1:
            nn.init.constant_(parameter, 0.0 if name.endswith(".bias") else 1.0)
            continue
        residual = name.endswith(("o_proj.weight", "down_proj.weight"))
        std = config.initial_std / math.sqrt(2 * config.layers) if residual else config.initial_std
        digest = hashlib.sha256(f"{seed}\0{name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))
        with torch.no_grad():
            parameter.copy_(torch.empty(parameter.shape).normal_(0.0, std, generator=generator))
