"""Keys and values that precede every document in each layer, and that all its tokens attend to.

A prefix is either learned as keys and values (prefix tuning, Li and Liang, 2021) or as vectors in place of tokens, of which the network
makes keys and values (prompt tuning, Lester et al., 2021). In a causal network these do not depend on what follows, so
one pass over the prompt serves all documents of a batch, packed or not, and a whole generated text.

Positions: tokens keep theirs, from 0, and P prefixed ones are at -P to -1. Tools that put them at 0 and the first token at P compute the
same, since rotary positions enter scores by their difference alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from model.layers.attention import Attention
from model.layers.attention_plan import AttentionInputs
from model.layers.block import Block, BlockInputs
from model.layers.positions import Rotary, RotaryTable, frequencies, rotate

if TYPE_CHECKING:
    from model.networks.decoder import Trunk

Entries = list[tuple[Tensor, Tensor]]  # of each layer: keys and values [1, G, P, K]


class Prefix(nn.Module, ABC):
    """`weight`: what is learned, one row for each of its P positions."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.length = len(weight)

    @abstractmethod
    def forward(self, trunk: Trunk) -> Entries:
        """Return keys, rotated, and values of each layer of `trunk`."""


class KeyValuePrefix(Prefix):
    """weight [P, L 2 G K]: of each layer its key and its value, before the key is rotated to its position."""

    def forward(self, trunk: Trunk) -> Entries:
        config = trunk.config
        # ZeRO 3 frees the parameter when this returns, so the result must not be a view.
        both_P2LGK = self.weight.clone().view(self.length, 2 * config.layers, config.kv_heads, config.head_dim)
        entry_LXGPK = both_P2LGK.permute(1, 2, 0, 3)[:, None]
        turn = _turn(trunk, -self.length, self.weight)
        return [(_rotated(key, turn), value) for key, value in zip(entry_LXGPK[0::2], entry_LXGPK[1::2], strict=True)]

    @classmethod
    @torch.no_grad()
    def of_prompt(cls, trunk: Trunk, prompt_PD: Tensor) -> KeyValuePrefix:
        """Return the prefix that the network makes of a prompt."""
        length = len(prompt_PD)
        turn = _turn(trunk, length, prompt_PD)
        keys, values = zip(*PromptPrefix(prompt_PD)(trunk), strict=True)
        entry_LXGPK = torch.stack([entry for key, value in zip(keys, values, strict=True) for entry in (_rotated(key, turn), value)])
        return cls(entry_LXGPK[:, 0].permute(2, 0, 1, 3).flatten(1).contiguous())


class PromptPrefix(Prefix):
    """weight [P, D]: vectors in place of the vectors of tokens."""

    def forward(self, trunk: Trunk) -> Entries:
        x_1PD = self.weight.clone()[None]
        seen = AttentionInputs(trunk.config, x_1PD, None, None, training=trunk.training)
        rotary = None if trunk.rotary is None else _before_zero(trunk.rotary, self.length, x_1PD.to(seen.dtype))
        shared = BlockInputs(rotary, seen.plan(None))
        entries: Entries = []
        for block in trunk.layers:
            assert isinstance(block, Block) and isinstance(block.self_attn, Attention)
            entries.append(block.self_attn.keys_values(x_1PD if block.post else block.input_layernorm(x_1PD), rotary))
            x_1PD = block(x_1PD, shared)
        return entries


def _before_zero(table: RotaryTable, length: int, like: Tensor) -> Rotary:
    """Return cosines and sines of positions -length to -1."""
    cos_PR, sin_PR = table.cos_sin(length + 1, like)
    return cos_PR[1 : length + 1].flip(0), -sin_PR[1 : length + 1].flip(0)


def _turn(trunk: Trunk, positions: int, like: Tensor) -> Rotary | None:
    """Return the rotation by a number of positions, unscaled: by -P it takes keys from before position P to before position 0."""
    if trunk.rotary is None:
        return None
    frequency_R, _ = frequencies(trunk.rotary.config, trunk.rotary.rotary_width)
    angle_R = positions * frequency_R
    return angle_R.cos().repeat(2).to(like), torch.cat((-angle_R.sin(), angle_R.sin())).to(like)


def _rotated(key: Tensor, turn: Rotary | None) -> Tensor:
    return key if turn is None else rotate(key, *turn)
