"""Multi-token prediction (DeepSeek-AI 2024, "DeepSeek-V3 Technical Report", section 2.2): heads that predict further ahead.

Head k reads at each token what head k - 1 made of it, at first the network's own hidden vector, and the embedding of the token k places
further on: each is normed, both are projected to one vector, and one more block and a norm follow. The network's output matrix reads the
result as the token k + 1 places further on. What the network itself computes does not depend on its heads.

Guarantee: at a token whose document has as many tokens left, a head's output depends on that document alone.
Cost: each head is a block, a projection of two widths to one, and logits of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.layers.block import Block, BlockInputs
from model.layers.config import BlockConfig
from model.layers.decoding.block import DecodingBlock
from model.layers.decoding.projection import fuse, whole_norm
from model.layers.norms import make_norm


class MultiTokenHead(nn.Module):
    """The head that is `depth` places, from 1, further ahead than the network. It owns no output matrix."""

    def __init__(self, config: BlockConfig, depth: int) -> None:
        super().__init__()
        self.depth = depth
        self.hidden_norm, self.token_norm = make_norm(config), make_norm(config)
        self.joined_proj = nn.Linear(2 * config.width, config.width, bias=False)
        self.block = Block(config, config.layers + depth - 1)
        self.norm = make_norm(config) if config.norm_place == "pre" else nn.Identity()

    def forward(self, x_BTD: Tensor, embedded_BTD: Tensor, shared: BlockInputs) -> Tensor:
        """Return what it makes of hidden vectors and the embeddings of the rows' tokens; beyond a row's end there are none."""
        ahead_BTD = torch.cat((embedded_BTD[:, self.depth :], torch.zeros_like(embedded_BTD[:, : self.depth])), dim=1)
        joined_BTD = self.joined_proj(torch.cat((self.hidden_norm(x_BTD), self.token_norm(ahead_BTD)), dim=-1))
        out_BTD: Tensor = self.norm(self.block(joined_BTD, shared))
        return out_BTD


class DecodingHead:
    """A head as it drafts: fp32, with copies of its weights. Its entries of the state are a layer's after those of the network."""

    def __init__(self, head: MultiTokenHead, *, rotary: bool) -> None:
        self.depth = head.depth
        self.hidden_norm, self.token_norm = whole_norm(head.hidden_norm), whole_norm(head.token_norm)
        self.joined = fuse((head.joined_proj,))
        self.block, self.norm = DecodingBlock(head.block, rotary=rotary), whole_norm(head.norm)

    def join(self, x_MD: Tensor, embedded_MD: Tensor) -> Tensor:
        """Return the block's input from hidden vectors, and the embedding of the token `depth` places after each."""
        return self.joined(torch.cat((self.hidden_norm(x_MD), self.token_norm(embedded_MD)), dim=-1))
