"""A decoder whose blocks mix tokens by what its config names for each: attention, or one of `model.layers.mixers`.

Everything else is the decoder's: inputs, norms, feed-forwards, head, initial weights. Guarantee: changing a document of a packed row leaves
the others' outputs bit-equal. Cost: as a decoder's, but only attention's blocks take longer for each token of a longer row, and only they
keep something of each token in generation; a mixer keeps a state of fixed size.

A hybrid as it writes: keys and values of attention's blocks in slots, beside them each mixer's state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.layers.attention_plan import AttentionInputs, AttentionPlan
from model.layers.block import Block, BlockInputs, make_feed_forward, through
from model.layers.decoding.block import DecodingBlock, decoding_feed_forward, decoding_plan
from model.layers.decoding.projection import split_norm, whole_norm
from model.layers.decoding.state import KeptRow, SlotState, Window
from model.layers.mixers.config import MixerConfig
from model.layers.mixers.mixer import Mixer, Places, State
from model.layers.norms import make_norm
from model.networks.config import HybridConfig
from model.networks.decoder import Decoder, DecodingTrunk, Trunk
from model.networks.decoding import DecodingNetwork, DecodingState
from model.networks.network import CutPlan, Network, Role, StageParts, draw_normal
from model.networks.prefix import Entries


@dataclass(frozen=True)
class HybridInputs(BlockInputs):
    """State shared by all blocks of one forward pass, and where the tokens stand."""

    places: Places = field(default_factory=Places)


class MixerBlock(nn.Module):
    """A mixer, then the feed-forward, each added to the residual stream, with a norm before each."""

    def __init__(self, config: HybridConfig, mixer: MixerConfig) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.mixer = mixer.build(config.width, config.norm_epsilon)
        self.input_layernorm = make_norm(config, rounded=self.mixer.ROUNDED)
        self.post_attention_layernorm = make_norm(config)
        self.mlp = make_feed_forward(config)

    def forward(self, x_BTD: Tensor, shared: HybridInputs) -> Tensor:
        y_BTD, _ = self.mixer(self.input_layernorm(x_BTD), shared.places)
        x_BTD = x_BTD + self._dropout(y_BTD)
        return x_BTD + self._dropout(through(self.mlp, self.post_attention_layernorm(x_BTD), shared.routing))

    def _dropout(self, x_BTD: Tensor) -> Tensor:
        return functional.dropout(x_BTD, self.dropout) if self.dropout and self.training else x_BTD


class HybridTrunk(Trunk):
    """See `Trunk`."""

    config: HybridConfig

    def make_block(self, layer: int) -> nn.Module:
        mixer = self.config.block_mixers[layer]
        return Block(self.config, layer) if mixer.ATTENDS else MixerBlock(self.config, mixer)

    def block_inputs(self, x_BTD: Tensor, inputs: AttentionInputs, before: Entries | None = None) -> HybridInputs:
        places = Places(inputs.documents_BT)
        if not self.config.attends:
            return HybridInputs(None, AttentionPlan(), routing=self.routing, places=places)
        shared = super().block_inputs(x_BTD, inputs, before)
        return HybridInputs(shared.rotary, shared.plan, shared.before, shared.routing, places)


class Hybrid(Decoder):
    """A decoder with token mixers over `vocab_size` tokens, initialized from `seed`."""

    TRUNK = HybridTrunk
    config: HybridConfig

    def __init__(self, config: HybridConfig, vocab_size: int, *, seed: int = 0) -> None:
        super().__init__(config, vocab_size, seed=seed)
        for name, module in self.named_modules():
            if isinstance(module, Mixer):
                module.draw_weights(lambda parameter, std, named: draw_normal(parameter, std, seed, named), name)

    def roles(self) -> dict[str, Role]:
        """As in `Network`; a recurrence's gates, stacked as torch has them, are matrices."""
        mixers = [block.mixer for block in self.blocks() if isinstance(block, MixerBlock)]
        inside = {id(parameter) for mixer in mixers for parameter in mixer.parameters() if parameter.dim() == 2}
        return super().roles() | {name: "matrix" for name, parameter in self.named_parameters() if id(parameter) in inside}

    def decoding(self) -> DecodingNetwork:
        return DecodingHybrid(self)

    def cut_plan(self) -> CutPlan:
        return Network.cut_plan(self)

    def divide_heads(self, parts: int) -> None:
        Network.divide_heads(self, parts)

    def stage_parts(self) -> StageParts:
        return Network.stage_parts(self)


class HybridState:
    """Slots for attention's blocks, and the state of each mixer, whose rows stand in the same order."""

    cuts = False

    def __init__(self, slots: SlotState, mixers: Sequence[State]) -> None:
        self.slots, self.mixers = slots, [list(parts) for parts in mixers]

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row so far."""
        return self.slots.lengths

    @torch.inference_mode()
    def add(self, rows: int) -> None:
        """Append empty rows, whose states are zeros."""
        self.slots.add(rows)
        self._replace(lambda part: torch.cat((part, part.new_zeros(rows, *part.shape[1:]))))

    @torch.inference_mode()
    def remove(self, row: int) -> None:
        """Remove a row; the last row takes its place."""
        self.slots.remove(row)
        for parts in self.mixers:
            for part in parts:
                part[row] = part[-1]
        self._replace(lambda part: part[:-1])

    @torch.inference_mode()
    def select(self, rows: Sequence[int]) -> None:
        """Replace the rows by copies of these, in this order."""
        self.slots.select(rows)
        self._replace(lambda part: part[torch.tensor(rows, dtype=torch.int64, device=part.device)])

    def cut(self, row: int, length: int) -> None:
        """Refuse: a mixer's state holds all tokens at once."""
        raise ValueError(f"the states of {self.lengths[row]} tokens can't be cut to {length}: they hold all of them at once")

    @torch.inference_mode()
    def keep(self, row: int) -> KeptRow:
        """Return a copy of a row."""
        kept = self.slots.keep(row)
        return KeptRow(kept.length, (*kept.tensors, *(part[row].clone() for parts in self.mixers for part in parts)))

    @torch.inference_mode()
    def restore(self, kept: KeptRow, length: int) -> None:
        """Append a kept row with all of its tokens."""
        if length != kept.length:
            raise ValueError(f"the states of {kept.length} tokens can't be cut to {length}: they hold all of them at once")
        self.slots.restore(kept, length)
        states = iter(kept.tensors[1:])
        self._replace(lambda part: torch.cat((part, next(states)[None])))

    def _replace(self, changed: Callable[[Tensor], Tensor]) -> None:
        self.mixers = [[changed(part) for part in parts] for parts in self.mixers]


class DecodingMixerBlock:
    """x_MD -> x_MD. The mixer computes as it does in training, in fp32, with a copy of its weights."""

    def __init__(self, block: MixerBlock) -> None:
        self.mixer: Mixer = deepcopy(block.mixer).float().eval().requires_grad_(False)
        self.norm = whole_norm(block.input_layernorm)
        self.scale, after = split_norm(block.post_attention_layernorm)
        self.feed_forward = decoding_feed_forward(block.mlp, after)

    def __call__(self, x_MD: Tensor, time: int, counts_N: Tensor | None, parts: list[Tensor], first: int) -> Tensor:
        """Read `time` tokens of the last rows of the state, those from `first` on, and write their states into `parts`."""
        y_NTD, after = self.mixer(
            self.norm(x_MD).view(-1, time, x_MD.shape[1]), Places(None, counts_N, tuple(part[first:] for part in parts))
        )
        for part, new in zip(parts, after, strict=True):
            part[first:] = new
        x_MD = x_MD + y_NTD.flatten(0, 1)
        return self.feed_forward(x_MD, self.scale(x_MD))


class DecodingHybrid(DecodingTrunk):
    """See `DecodingNetwork`."""

    @torch.no_grad()
    def __init__(self, network: Hybrid) -> None:
        rotary = network.config.attends and network.config.rotary_width > 0
        super().__init__(network, rotary=rotary)
        self.blocks = [_decoding_block(block, rotary=rotary) for block in network.model.layers]
        attention = [block.attention for block in self.blocks if isinstance(block, DecodingBlock)]
        for slot, layer in enumerate(attention):
            layer.layer = slot
        self.attention_blocks = len(attention)

    def new_state(self) -> HybridState:
        mixers = [block.mixer.empty(0, self.device) for block in self.blocks if isinstance(block, DecodingMixerBlock)]
        return HybridState(self.new_slots(self.attention_blocks), mixers)

    def advance(self, tokens_NT: Tensor, counts: Sequence[int], state: DecodingState, first: int) -> Tensor:
        assert isinstance(state, HybridState)
        time = tokens_NT.shape[1]
        window = Window(state.slots, first, time)
        x_MD, turn_MXR = self.enter(tokens_NT, window)
        plan = decoding_plan(self.shape, window, self.bias) if self.attention_blocks else AttentionPlan()
        counts_N = None if time == 1 else torch.tensor(counts, device=self.device)
        mixers = iter(state.mixers)
        for block in self.blocks:
            if isinstance(block, DecodingBlock):
                x_MD = block(x_MD, turn_MXR, plan, window)
            else:
                x_MD = block(x_MD, time, counts_N, next(mixers), first)
        window.advance(counts)
        return x_MD


def _decoding_block(block: nn.Module, *, rotary: bool) -> DecodingBlock | DecodingMixerBlock:
    if isinstance(block, MixerBlock):
        return DecodingMixerBlock(block)
    assert isinstance(block, Block), "a hybrid's block attends or mixes"
    return DecodingBlock(block, rotary=rotary)
