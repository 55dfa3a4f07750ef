"""A bidirectional Transformer encoder (Devlin et al., 2019): tokens in, logits of the token at each place out.

Its blocks are a pre-norm decoder's without the causal mask: a token sees all of its document, nothing of other documents in a packed
row. So it cannot predict next tokens; it learns by filling gaps. It embeds one token beyond the vocabulary, the mask, whose id is
`vocab_size` and which never occurs in text. Cost: about 6 floating point operations a parameter and token to train, 2 to evaluate; 8 to
train with `recompute`.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from model.inputs.inputs import TokenEmbedding, add_inputs, embed_inputs
from model.layers.attention_plan import AttentionInputs
from model.layers.block import Block, BlockInputs, rotary_of
from model.layers.linear import head_product
from model.layers.norms import make_norm
from model.layers.positions import LearnedPositions, RotaryTable, SinusoidalPositions
from model.networks.config import EncoderConfig
from model.networks.network import Inputs, Network, initialize


class Encoder(Network):
    """A bidirectional Transformer over `vocab_size` tokens and the mask, initialized from `seed`."""

    embed_tokens: TokenEmbedding

    def __init__(self, config: EncoderConfig, vocab_size: int, *, seed: int = 0) -> None:
        super().__init__(config, vocab_size)
        self.config: EncoderConfig = config
        self.layer_config = config.layer_config
        add_inputs(self, config.all_inputs, vocab_size + 1, config.width)
        self.layers = nn.ModuleList(Block(self.layer_config, layer) for layer in range(config.layers))
        self.norm = make_norm(self.layer_config)
        self.rotary = RotaryTable(self.layer_config, self.layer_config.rotary_width) if config.positions == "rope" else None
        self.embed_positions: LearnedPositions | SinusoidalPositions | None = None
        if config.positions != "rope":
            self.embed_positions = (LearnedPositions if config.positions == "learned" else SinusoidalPositions)(self.layer_config)
        self.lm_head = None if config.tied_embeddings else nn.Linear(config.width, vocab_size, bias=False)
        initialize(self, seed, zero_outputs=config.zero_outputs)

    def forward(self, inputs: Inputs) -> Tensor:
        """Return x_BTD after the last norm.

        `tokens` int64 [B, T], of which `vocab_size` is the mask. `positions` [B, T]: explicit positions, from 0; by default they count
        from the start of each document. `documents` [B, T]: the document that each token of a packed row belongs to; attention stays
        inside it; without it (faster) each row is one document.
        """
        x_BTD = embed_inputs(self, inputs)
        seen = AttentionInputs(
            self.layer_config, x_BTD, inputs.get("positions"), inputs.get("documents"), training=self.training, causal=False
        )
        if self.embed_positions is not None:
            x_BTD = self.embed_positions.add(x_BTD, seen.positions(), seen.end)
        if self.layer_config.dropout and self.training:
            x_BTD = functional.dropout(x_BTD, self.layer_config.dropout)
        shared = BlockInputs(rotary_of(self.rotary, seen, x_BTD), seen.plan(None))
        for block in self.layers:
            x_BTD = checkpoint(block, x_BTD, shared, use_reentrant=False) if self.recompute and self.training else block(x_BTD, shared)
        out_BTD: Tensor = self.norm(x_BTD)
        return out_BTD

    def read(self, x_ND: Tensor) -> Tensor:
        """Return logits_NV over the vocabulary, without the mask."""
        (weight_WD,) = self.read_weights()
        return head_product(x_ND, weight_WD[: self.vocab_size])

    def read_weights(self) -> tuple[Tensor, ...]:
        return ((self.embed_tokens if self.lm_head is None else self.lm_head).weight,)

    def blocks(self) -> nn.ModuleList:
        return self.layers
