"""The decoder: tokens in, logits of each next token out. Parameters have Hugging Face's Llama names.

The class of transformers that `DecoderConfig.hub_form` names, loaded with the same tensors, computes the same logits (1e-5 in fp32).
Initial weights are drawn for each tensor from the seed and the tensor's name, so adding a layer changes no other. Cost: about 6 floating
point operations a parameter and token to train, 2 to evaluate; 8 to train with `recompute`.

A decoder as it writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from model.inputs.inputs import TokenEmbedding, add_inputs, embed_inputs
from model.layers.attention import Attention
from model.layers.attention_plan import AttentionInputs
from model.layers.block import Block, BlockInputs, rotary_of
from model.layers.decoding.block import DecodingBlock, Rotation, decoding_plan, entry_of
from model.layers.decoding.compiled.step import CompiledStep, most_rows
from model.layers.decoding.projection import split_norm, whole_norm
from model.layers.decoding.state import SlotState, Window
from model.layers.experts import Routing
from model.layers.linear import head_product, soft_cap
from model.layers.norms import make_norm
from model.layers.positions import Alibi, LearnedPositions, RelativeBias, RotaryTable, SinusoidalPositions
from model.networks.base import AHEAD
from model.networks.config import DecoderShape
from model.networks.decoding import DecodingNetwork, DecodingState
from model.networks.multi_token import DecodingHead, MultiTokenHead
from model.networks.network import CutPlan, Inputs, Network, Role, StageParts, initialize
from model.networks.prefix import Entries, Prefix


class Trunk(nn.Module):
    """Inputs, blocks and last norm: everything but the output head."""

    embed_tokens: TokenEmbedding

    def __init__(self, config: DecoderShape, vocab_size: int) -> None:
        super().__init__()
        self.config, self.recompute, self.parts = config, False, 1
        add_inputs(self, config.all_inputs, vocab_size, config.width)
        self.layers = nn.ModuleList(self.make_block(layer) for layer in range(config.layers))
        self.norm = make_norm(config) if config.norm_place == "pre" else nn.Identity()
        self.multi_token = nn.ModuleList(MultiTokenHead(config, depth) for depth in range(1, config.heads_ahead + 1))
        self.rotary = RotaryTable(config, config.rotary_width) if config.positions == "rope" else None
        self.embed_positions: LearnedPositions | SinusoidalPositions | None = None
        if config.positions in ("learned", "sinusoidal"):
            self.embed_positions = (LearnedPositions if config.positions == "learned" else SinusoidalPositions)(config)
        self.prefix: Prefix | None = None
        self.routing: Routing | None = None
        self.position_bias: Alibi | RelativeBias | None = None
        if config.positions in ("alibi", "relative"):
            self.position_bias = (Alibi if config.positions == "alibi" else RelativeBias)(config)

    def make_block(self, layer: int) -> nn.Module:
        """Return one of the blocks, with weights that are not drawn yet."""
        return Block(self.config, layer)

    def forward(self, inputs: Inputs) -> Tensor:
        """Return x_BTD after the last norm. See `Decoder.forward` for the arguments."""
        return self.ahead(inputs, 0)[0]

    def ahead(self, inputs: Inputs, heads: int) -> list[Tensor]:
        """Return x_BTD as `forward` does, and of each of so many heads."""
        embedded_BTD = embed_inputs(self, inputs)
        seen = self.seen(embedded_BTD, inputs)
        x_BTD = self.embed(embedded_BTD, seen)
        shared = self.block_inputs(x_BTD, seen, None if self.prefix is None else self.prefix(self))
        for block in self.layers:
            x_BTD = self._through(block, x_BTD, shared)
        found: list[Tensor] = [self.norm(x_BTD)]
        for head in self.multi_token[:heads]:
            found.append(self._through(head, found[-1], embedded_BTD, shared))
        return found

    def _through(self, module: nn.Module, *inputs: Tensor | BlockInputs) -> Tensor:
        again = self.recompute and self.training
        out_BTD: Tensor = checkpoint(module, *inputs, use_reentrant=False) if again else module(*inputs)
        return out_BTD

    def seen(self, x_BTD: Tensor, inputs: Inputs) -> AttentionInputs:
        """Return what attention is given besides its weights: the vectors `x_BTD`, positions and documents."""
        documents_BT, positions_BT = inputs.get("documents"), inputs.get("positions")
        before = 0 if self.prefix is None else self.prefix.length
        return AttentionInputs(
            self.config, x_BTD, positions_BT, documents_BT,
            training=self.training, parts=self.parts, before=before, prompt_BT=inputs.get("prompt"),
        )  # fmt: skip

    def embed(self, x_BTD: Tensor, inputs: AttentionInputs) -> Tensor:
        """Return the input of the first block: the inputs' vectors `x_BTD` plus position embeddings, after dropout."""
        if self.embed_positions is not None:
            x_BTD = self.embed_positions.add(x_BTD, inputs.positions(), inputs.end)
        return functional.dropout(x_BTD, self.config.dropout) if self.config.dropout and self.training else x_BTD

    def block_inputs(self, x_BTD: Tensor, inputs: AttentionInputs, before: Entries | None = None) -> BlockInputs:
        """Compute what all blocks share: rotary tables and the attention plan, including any prefix."""
        return BlockInputs(rotary_of(self.rotary, inputs, x_BTD), inputs.plan(self.position_bias), before, self.routing)


class Decoder(Network):
    """A decoder-only Transformer over `vocab_size` tokens, initialized from `seed`."""

    TRUNK: ClassVar[type[Trunk]] = Trunk

    def __init__(self, config: DecoderShape, vocab_size: int, *, seed: int = 0) -> None:
        super().__init__(config, vocab_size)
        self.config: DecoderShape = config
        self.model = self.TRUNK(config, vocab_size)
        self.lm_head = None if config.tied_embeddings else nn.Linear(config.width, vocab_size, bias=False)
        initialize(self, seed, zero_outputs=config.zero_outputs)

    @property
    def recompute(self) -> bool:
        """As in `Network`. Setting it raises ValueError with batch norm, whose running statistics would be updated twice."""
        return self.model.recompute

    @recompute.setter
    def recompute(self, on: bool) -> None:
        if on and self.config.norm == "batch":
            raise ValueError("recompute=true with norm=batch: recomputing a block would update its running statistics twice")
        self.model.recompute = on

    def forward(self, inputs: Inputs) -> Tensor:
        """Return x_BTD after the last norm.

        `tokens` int64 [B, T], and the columns of other inputs (see `model.inputs`). `positions` [B, T]: explicit positions, from 0; by
        default they count from the start of each document. `documents` [B, T]: the document that each token of a packed row belongs to;
        attention stays inside it; without it (faster) each row is one document. `prompt` [B, T] bool: the tokens that all of their
        document sees, the first ones of each; without it a text is read causally.
        """
        out_BTD: Tensor = self.model(inputs)
        return out_BTD

    @contextmanager
    def noting(self, counted_BT: Tensor) -> Iterator[Routing]:
        self.model.routing = Routing(counted_BT)
        try:
            yield self.model.routing
        finally:
            self.model.routing = None

    def ahead(self, inputs: Inputs) -> list[Tensor]:
        return self.model.ahead(inputs, self.config.heads_ahead)

    def read_weights(self) -> tuple[Tensor, ...]:
        table: nn.Embedding | nn.Linear = self.model.embed_tokens if self.lm_head is None else self.lm_head
        return (table.weight,)

    def tied_names(self) -> tuple[str, ...]:
        return ("lm_head.weight",) if self.config.tied_embeddings else ()

    def blocks(self) -> nn.ModuleList:
        return self.model.layers

    def prefix_owner(self) -> Trunk:
        return self.model

    def decoding(self) -> DecodingNetwork:
        return DecodingDecoder(self)

    def roles(self) -> dict[str, Role]:
        """As in `Network`; a relative bias, a few numbers a head that every attention score depends on, is not an embedding.

        The matrices of heads that predict further ahead are a block's.
        """
        given: dict[str, Role] = {"model.position_bias.weight": "vector"}
        ahead: dict[Role, Role] = {"head": "matrix"}
        return {name: ahead.get(role, role) if name.startswith(AHEAD) else given.get(name, role) for name, role in super().roles().items()}

    def cut_plan(self) -> CutPlan:
        """As Megatron-LM (Shoeybi et al., 2019): the first matrices of attention and feed-forward by outputs, the last ones by inputs."""
        return CutPlan(
            outputs=(r".*\.(q|k|v|gate|up)_proj\.(weight|bias)$",),
            inputs=(r".*\.(o|down)_proj\.weight$",),
            summed=(r".*\.self_attn\.(q|k)_norm\.weight$",),
        )

    def stage_parts(self) -> StageParts:
        """Return the trunk's own modules; each stage makes its masks and rotary tables from the columns that it is sent."""
        trunk = self.model

        def embed(columns: Inputs) -> Tensor:
            x_BTD = embed_inputs(trunk, columns)
            return trunk.embed(x_BTD, trunk.seen(x_BTD, columns))

        def run(blocks: Iterable[nn.Module], x_BTD: Tensor, columns: Inputs) -> Tensor:
            shared = trunk.block_inputs(x_BTD, trunk.seen(x_BTD, columns))
            for block in blocks:
                x_BTD = block(x_BTD, shared)
            return x_BTD

        return StageParts(trunk.embed_tokens, embed, run, trunk.norm, self.lm_head)

    def divide_heads(self, parts: int) -> None:
        self.model.parts = parts
        for attention in self.model.modules():
            if isinstance(attention, Attention):
                attention.heads //= parts
                attention.kv_heads //= parts

    def compile_parts(self) -> None:
        super().compile_parts()
        for head in self.model.multi_token:
            head.compile()

    def read(self, x_ND: Tensor) -> Tensor:
        (weight_VD,) = self.read_weights()
        return soft_cap(head_product(x_ND, weight_VD), self.config.logit_soft_cap)


class DecodingTrunk(DecodingNetwork):
    """The decoding state of every decoder, whatever its blocks are: inputs, positions, slots for keys and values, and the head."""

    @torch.no_grad()
    def __init__(self, decoder: Decoder, *, rotary: bool) -> None:
        self.shape, trunk = decoder.config, decoder.model
        super().__init__(decoder, trunk)
        self.positions, self.bias = trunk.embed_positions, trunk.position_bias
        self.rotation = Rotation(self.shape, self.shape.rotary_width, self.device) if rotary else None
        self.norm = whole_norm(trunk.norm)

    def new_slots(self, layers: int, before: Sequence[Tensor] | None = None) -> SlotState:
        """Return slots without rows for that many blocks of attention."""
        config = self.shape
        latent = config.attention == "latent"
        entry = (1, config.latent_width + config.rotary_width) if latent else (2 * config.kv_heads, config.head_dim)
        return SlotState(layers, entry, config.context, self.device, before)

    def enter(self, tokens_NT: Tensor, window: Window) -> tuple[Tensor, Tensor | None]:
        """Return x_MD of new tokens, which the first block reads, and how heads are turned at their places, if they are."""
        x_NTD = self.embed(tokens_NT)
        if self.positions is not None:
            x_NTD = self.positions.add(x_NTD, window.positions_NT, window.end).float()
        return x_NTD.flatten(0, 1), None if self.rotation is None else self.rotation.of(window)

    def normed(self, x_ND: Tensor) -> Tensor:
        return self.norm(x_ND)

    def read(self, x_ND: Tensor) -> Tensor:
        return self.read_normed(self.norm(x_ND))

    @torch.inference_mode()
    def read_normed(self, x_ND: Tensor) -> Tensor:
        """Return logits_NV of hidden vectors after the last norm, or after a head's."""
        return soft_cap(self.head(x_ND), self.shape.logit_soft_cap)


class DecodingDecoder(DecodingTrunk):
    """See `DecodingNetwork`."""

    @torch.no_grad()
    def __init__(self, decoder: Decoder) -> None:
        trunk, rotary = decoder.model, decoder.config.rotary_width > 0
        super().__init__(decoder, rotary=rotary)
        self.blocks = [DecodingBlock(block, rotary=rotary) for block in trunk.layers]  # type: ignore[arg-type]
        self.heads = [DecodingHead(head, rotary=rotary) for head in trunk.multi_token]  # type: ignore[arg-type]
        _, self.after = split_norm(trunk.norm)
        self.most_rows = most_rows(self.shape, self.blocks, self.head, self.device)
        self.before = None if trunk.prefix is None else [entry_of(*pair, rotary=rotary) for pair in trunk.prefix(trunk)]

    @cached_property
    def compiled(self) -> CompiledStep:
        """The reader of single tokens of up to `most_rows` rows."""
        return CompiledStep(self.shape, self.blocks, self.table_VD, self.after, self.head, self.rotation)

    def prepared(self) -> Self:
        if self.most_rows:
            _ = self.compiled
        return self

    def new_state(self) -> SlotState:
        return self.new_slots(self.shape.layers, self.before)

    def drafting_state(self) -> SlotState:
        """Return a state without rows that also has room for what the heads keep of each token."""
        return self.new_slots(self.shape.layers + len(self.heads), self.before)

    @torch.inference_mode()
    def step(self, tokens_NT: Tensor, counts: Sequence[int], state: DecodingState, first: int = 0) -> Tensor:
        assert isinstance(state, SlotState)
        patched = self.config.patches is not None and bool((tokens_NT >= self.vocab_size).any())  # compiled code knows the vocabulary alone
        if tokens_NT.shape[1] > 1 or len(tokens_NT) > self.most_rows or patched:
            return super().step(tokens_NT, counts, state, first)
        return soft_cap(self.compiled(tokens_NT[:, 0], state, first), self.shape.logit_soft_cap)

    def advance(self, tokens_NT: Tensor, counts: Sequence[int], state: DecodingState, first: int) -> Tensor:
        assert isinstance(state, SlotState)
        window = Window(state, first, tokens_NT.shape[1])
        x_MD, turn_MXR = self.enter(tokens_NT, window)
        plan = decoding_plan(self.shape, window, self.bias, counts if self.config.reads_prompts else ())
        for block in self.blocks:
            x_MD = block(x_MD, turn_MXR, plan, window)
        window.advance(counts)
        return x_MD

    @torch.inference_mode()
    def step_all(self, tokens_NT: Tensor, counts: Sequence[int], state: DecodingState, first: int = 0) -> Tensor:
        if not self.config.reads_prompts or tokens_NT.shape[1] == 1:
            return super().step_all(tokens_NT, counts, state, first)
        # What a text begins with would be read as one prompt, in which a token sees those that its logits are to predict.
        begin_N1V = super().step_all(tokens_NT[:, :1], [1] * len(counts), state, first)
        return torch.cat((begin_N1V, super().step_all(tokens_NT[:, 1:], [count - 1 for count in counts], state, first)), dim=1)

    @torch.inference_mode()
    def through(self, head: DecodingHead, x_NTD: Tensor, tokens_NT: Tensor, state: SlotState, first: int, starts: Sequence[int]) -> Tensor:
        """Return what a head makes of hidden vectors x_NTD of the rows from `first` on, whose positions begin at `starts`.

        tokens_NT: of each vector the token `head.depth` places further on. What the head keeps is written into the state.
        """
        window = Window(state, first, tokens_NT.shape[1], starts)
        turn_MXR = None if self.rotation is None else self.rotation.of(window)
        joined_MD = head.join(x_NTD.flatten(0, 1), functional.embedding(tokens_NT, self.table_VD).flatten(0, 1))
        return head.norm(head.block(joined_MD, turn_MXR, decoding_plan(self.shape, window, self.bias), window)).view_as(x_NTD)
