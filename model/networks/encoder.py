"""A bidirectional Transformer encoder (Devlin et al., 2019): tokens in, logits of the token at each place out.

Its blocks are a pre-norm decoder's without the causal mask: a token sees all of its document, nothing of other documents in a packed
row. So it cannot predict next tokens; it learns by filling gaps. It embeds one token more than the vocabulary has, the mask, whose id is
`vocab_size` and which no text holds. Cost: about 6 floating point operations a parameter and token to train, 2 to evaluate; 8 to
train with `recompute`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NoReturn

from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from model.inputs.protocol import add_inputs, embed_inputs
from model.inputs.tokens import TokenEmbedding
from model.layers.attention import Attention
from model.layers.attention_plan import AttentionInputs, AttentionPlan
from model.layers.feed_forward import FeedForward
from model.layers.norms import make_norm
from model.layers.positions.embeddings import LearnedPositions, SinusoidalPositions
from model.layers.positions.rotary import Rotary, RotaryTable
from model.networks.encoder_config import EncoderConfig, EncoderLayers
from model.networks.network import GenerationState, Inputs, Network, draw_normal


@dataclass(frozen=True)
class EncoderInputs:
    """What all blocks of one forward pass share besides the residual stream. Not a tuple, since ZeRO unpacks a block's tuples."""

    rotary: Rotary | None
    plan: AttentionPlan


class EncoderBlock(nn.Module):
    """Attention, then feed-forward, each added to the residual stream, with a norm before each."""

    def __init__(self, config: EncoderLayers, layer: int) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.input_layernorm = make_norm(config)
        self.self_attn = Attention(config, layer)
        self.post_attention_layernorm = make_norm(config)
        self.mlp = FeedForward(config)

    def forward(self, x_BTD: Tensor, shared: EncoderInputs) -> Tensor:
        x_BTD = x_BTD + self._dropout(self.self_attn(self.input_layernorm(x_BTD), shared.rotary, shared.plan))
        return x_BTD + self._dropout(self.mlp(self.post_attention_layernorm(x_BTD)))

    def _dropout(self, x_BTD: Tensor) -> Tensor:
        return functional.dropout(x_BTD, self.dropout) if self.dropout and self.training else x_BTD


class Encoder(Network):
    """A bidirectional Transformer over `vocab_size` tokens and the mask, initialized from `seed`."""

    embed_tokens: TokenEmbedding

    def __init__(self, config: EncoderConfig, vocab_size: int, *, seed: int = 0) -> None:
        super().__init__(config, vocab_size)
        self.config: EncoderConfig = config
        self.layer_config = config.layer_config
        add_inputs(self, config.all_inputs, vocab_size + 1, config.width)
        self.layers = nn.ModuleList(EncoderBlock(self.layer_config, layer) for layer in range(config.layers))
        self.norm = make_norm(self.layer_config)
        self.rotary = RotaryTable(self.layer_config, self.layer_config.rotary_width) if config.positions == "rope" else None
        self.embed_positions: LearnedPositions | SinusoidalPositions | None = None
        if config.positions != "rope":
            self.embed_positions = (LearnedPositions if config.positions == "learned" else SinusoidalPositions)(self.layer_config)
        self.lm_head = None if config.tied_embeddings else nn.Linear(config.width, vocab_size, bias=False)
        self._initialize(seed)

    def forward(self, inputs: Inputs, state: GenerationState | None = None) -> Tensor:
        """Return x_BTD after the last norm.

        `tokens` int64 [B, T], of which `vocab_size` is the mask. `positions` [B, T]: explicit positions, from 0; by default they count
        from the start of each document. `documents` [B, T]: the document that each token of a packed row belongs to; attention stays
        inside it; without it (faster) each row is one document. Raise ValueError for a state: every token sees the later ones.
        """
        if state is not None:
            raise ValueError("an encoder keeps no state: each token sees later ones, so a text is computed as a whole")
        x_BTD = embed_inputs(self, inputs)
        seen = AttentionInputs(
            self.layer_config, x_BTD, 0, inputs.get("positions"), inputs.get("documents"), training=self.training, causal=False
        )
        if self.embed_positions is not None:
            x_BTD = self.embed_positions.add(x_BTD, seen.positions(), seen.end)
        if self.layer_config.dropout and self.training:
            x_BTD = functional.dropout(x_BTD, self.layer_config.dropout)
        shared = EncoderInputs(self._rotary(x_BTD, seen), seen.plan(None, cached=False))
        for block in self.layers:
            x_BTD = checkpoint(block, x_BTD, shared, use_reentrant=False) if self.recompute and self.training else block(x_BTD, shared)
        out_BTD: Tensor = self.norm(x_BTD)
        return out_BTD

    def _rotary(self, x_BTD: Tensor, seen: AttentionInputs) -> Rotary | None:
        if self.rotary is None:
            return None
        cos_PR, sin_PR = (table.to(seen.dtype) for table in self.rotary.cos_sin(seen.end, x_BTD))
        return cos_PR[seen.positions()][:, None], sin_PR[seen.positions()][:, None]

    def read(self, x_ND: Tensor) -> Tensor:
        """Return logits_NV over the vocabulary, without the mask."""
        (weight_WD,) = self.read_weights()
        return functional.linear(x_ND, weight_WD[: self.vocab_size])

    def read_weights(self) -> tuple[Tensor, ...]:
        return ((self.embed_tokens if self.lm_head is None else self.lm_head).weight,)

    def blocks(self) -> nn.ModuleList:
        return self.layers

    def new_state(self, rows: int) -> NoReturn:
        raise NotImplementedError("an encoder does not generate; use a causal network")

    def _initialize(self, seed: int) -> None:
        """Draw normal weights, residual outputs scaled down by sqrt(2 layers) as in GPT-2; set gains to 1 and biases to 0."""
        for name, parameter in self.named_parameters():
            if parameter.dim() == 1:
                nn.init.constant_(parameter, 0.0 if name.endswith(".bias") else 1.0)
                continue
            residual = name.endswith(("o_proj.weight", "down_proj.weight"))
            std = self.config.initial_std / math.sqrt(2 * self.config.layers) if residual else self.config.initial_std
            draw_normal(parameter, std, seed, name)
