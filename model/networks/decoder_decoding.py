"""A decoder as it writes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor
from torch.nn import functional

from model.layers.decoding.attention import entry_of
from model.layers.decoding.block import DecodingBlock
from model.layers.decoding.compiled.step import CompiledStep, most_rows
from model.layers.decoding.norms import split_norm, whole_norm
from model.layers.decoding.plan import decoding_plan
from model.layers.decoding.rotation import Rotation
from model.layers.decoding.state import SlotState, Window
from model.layers.soft_cap import soft_cap
from model.networks.decoding import DecodingNetwork, DecodingState

if TYPE_CHECKING:
    from model.networks.decoder import Decoder


class DecodingDecoder(DecodingNetwork):
    """See `DecodingNetwork`."""

    @torch.no_grad()
    def __init__(self, decoder: Decoder) -> None:
        self.shape, trunk = decoder.config, decoder.model
        super().__init__(decoder, trunk)
        self.positions, self.bias = trunk.embed_positions, trunk.position_bias
        rotary = self.shape.rotary_width > 0
        self.rotation = Rotation(self.shape, self.shape.rotary_width, self.device) if rotary else None
        self.blocks = [DecodingBlock(block, rotary=rotary) for block in trunk.layers]  # type: ignore[arg-type]
        self.norm, (_, self.after) = whole_norm(trunk.norm), split_norm(trunk.norm)
        self.most_rows = most_rows(self.shape, self.blocks, self.head, self.device)
        self.before = None if trunk.prefix is None else [entry_of(*pair, rotary=rotary) for pair in trunk.prefix(trunk)]

    @cached_property
    def compiled(self) -> CompiledStep:
        """What reads single tokens of up to `most_rows` rows."""
        return CompiledStep(self.shape, self.blocks, self.table_VD, self.after, self.head, self.rotation)

    def prepared(self) -> Self:
        if self.most_rows:
            _ = self.compiled
        return self

    def new_state(self) -> SlotState:
        config = self.shape
        latent = config.attention == "latent"
        entry = (1, config.latent_width + config.rotary_width) if latent else (2 * config.kv_heads, config.head_dim)
        return SlotState(config.layers, entry, config.context, self.device, self.before)

    @torch.inference_mode()
    def step(self, tokens_NT: Tensor, counts: Sequence[int], state: DecodingState, first: int = 0) -> Tensor:
        assert isinstance(state, SlotState)
        if tokens_NT.shape[1] > 1 or len(tokens_NT) > self.most_rows:
            return super().step(tokens_NT, counts, state, first)
        return soft_cap(self.compiled(tokens_NT[:, 0], state, first), self.shape.logit_soft_cap)

    def advance(self, tokens_NT: Tensor, counts: Sequence[int], state: DecodingState, first: int) -> Tensor:
        assert isinstance(state, SlotState)
        window = Window(state, first, tokens_NT.shape[1])
        x_NTD = functional.embedding(tokens_NT, self.table_VD)
        if self.positions is not None:
            x_NTD = self.positions.add(x_NTD, window.positions_NT, window.end).float()
        turn_MXR = None if self.rotation is None else self.rotation.of(window)
        plan = decoding_plan(self.shape, window, self.bias)
        x_MD = x_NTD.flatten(0, 1)
        for block in self.blocks:
            x_MD = block(x_MD, turn_MXR, plan, window)
        window.advance(counts)
        return x_MD

    def normed(self, x_ND: Tensor) -> Tensor:
        return self.norm(x_ND)

    def read(self, x_ND: Tensor) -> Tensor:
        return soft_cap(self.head(self.norm(x_ND)), self.shape.logit_soft_cap)
