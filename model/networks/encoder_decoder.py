"""An encoder and a decoder of T5's shape (Raffel et al., 2020): a text with gaps in, logits of what they hide out.

The encoder sees all of a document; each of the decoder's blocks sees what was written so far and, by cross attention, the encoder's
vectors. Order enters by a relative bias in each stack, shared by its blocks. Both embed some tokens beyond the vocabulary, the sentinels,
whose ids are `vocab_size` and up; the decoder writes them, too. Documents of a packed row see nothing of each other in either stack or
between them, so changing one leaves the others' logits bit-equal. Cost: about 6 floating point operations a parameter of a stack and token
that it reads to train, 8 with `recompute`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from model.inputs.inputs import TokenEmbedding, add_inputs, embed_inputs
from model.layers.attention import Attention
from model.layers.attention_plan import AttentionInputs, AttentionPlan, additive_mask
from model.layers.block import Block, BlockInputs, FeedForward
from model.layers.config import BlockConfig
from model.layers.linear import head_product
from model.layers.norms import make_norm
from model.layers.positions import RelativeBias
from model.networks.config import EncoderDecoderConfig
from model.networks.network import Inputs, Network, Role, initialize

START = 0  # what the decoder reads first: <|pad|>, as in T5, which no text holds


@dataclass(frozen=True)
class WritingInputs:
    """State shared by all blocks of the decoder. Not a tuple, since ZeRO unpacks a block's tuples."""

    plan: AttentionPlan
    cross: AttentionPlan


class WritingBlock(nn.Module):
    """Attention to what is written, to what was read, then the feed-forward; a norm before each."""

    def __init__(self, config: BlockConfig, layer: int) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.input_layernorm, self.cross_layernorm, self.post_attention_layernorm = (make_norm(config) for _ in range(3))
        self.self_attn, self.cross_attn = Attention(config, layer), Attention(config, layer)
        self.mlp = FeedForward(config)

    def forward(self, x_BTD: Tensor, memory_BSD: Tensor, shared: WritingInputs) -> Tensor:
        h_BTD = self.input_layernorm(x_BTD)
        written, read = self.self_attn.keys_values(h_BTD, None), self.cross_attn.keys_values(memory_BSD, None)
        return self.after(x_BTD, h_BTD, written, read, shared)

    def after(
        self, x_BTD: Tensor, h_BTD: Tensor, written: tuple[Tensor, Tensor], read: tuple[Tensor, Tensor], shared: WritingInputs
    ) -> Tensor:
        """Return x_BTD after the block. h_BTD: x_BTD normed. written, read: keys and values of both attentions."""
        x_BTD = x_BTD + self._dropout(self.self_attn.look_up(h_BTD, None, *written, shared.plan))
        x_BTD = x_BTD + self._dropout(self.cross_attn.look_up(self.cross_layernorm(x_BTD), None, *read, shared.cross))
        out_BTD: Tensor = x_BTD + self._dropout(self.mlp(self.post_attention_layernorm(x_BTD)))
        return out_BTD

    def _dropout(self, x_BTD: Tensor) -> Tensor:
        return functional.dropout(x_BTD, self.dropout) if self.dropout and self.training else x_BTD


class EncoderDecoder(Network):
    """An encoder and a decoder over `vocab_size` tokens and the sentinels, initialized from `seed`."""

    embed_tokens: TokenEmbedding

    def __init__(self, config: EncoderDecoderConfig, vocab_size: int, *, seed: int = 0) -> None:
        super().__init__(config, vocab_size)
        self.config: EncoderDecoderConfig = config
        self.layer_config = shape = config.layer_config
        add_inputs(self, config.all_inputs, vocab_size + config.sentinels, config.width)
        self.encoder = nn.ModuleList(Block(shape, layer) for layer in range(config.layers))
        self.decoder = nn.ModuleList(WritingBlock(shape, layer) for layer in range(config.layers))
        self.encoder_norm, self.norm = make_norm(shape), make_norm(shape)
        self.encoder_bias, self.decoder_bias = RelativeBias(shape, causal=False), RelativeBias(shape)
        self.lm_head = None if config.tied_embeddings else nn.Linear(config.width, vocab_size + config.sentinels, bias=False)
        initialize(self, seed, zero_outputs=config.zero_outputs)

    def forward(self, inputs: Inputs) -> Tensor:
        """Return x_BTD of the written tokens after the last norm.

        `tokens` int64 [B, S]: what is read. `documents` [B, S]: the document of each in a packed row; without it (faster) each row is one
        document. `written` [B, T]: what was written before each token that is to be written; by default what is read, so that it is
        written again. `written_documents` [B, T]: the document that each of them belongs to; by default those of `tokens`, or the first.
        """
        tokens_BS, documents_BS = inputs["tokens"], inputs.get("documents")
        written_BT, documents_BT = inputs.get("written"), inputs.get("written_documents")
        if documents_BT is None and documents_BS is not None:
            documents_BT = documents_BS if written_BT is None else documents_BS[:, :1].expand(written_BT.shape)
        memory_BSD = self.encode(tokens_BS, documents_BS)
        x_BTD = self._embed(tokens_BS if written_BT is None else written_BT)
        seen = AttentionInputs(self.layer_config, x_BTD, None, documents_BT, training=self.training)
        shared = WritingInputs(seen.plan(self.decoder_bias), self._cross_plan(x_BTD, documents_BT, documents_BS))
        for block in self.decoder:
            x_BTD = self._run(block, x_BTD, memory_BSD, shared)
        out_BTD: Tensor = self.norm(x_BTD)
        return out_BTD

    def encode(self, tokens_BS: Tensor, documents_BS: Tensor | None = None) -> Tensor:
        """Return the encoder's vectors of what is read, [B, S, D]."""
        x_BSD = self._embed(tokens_BS)
        seen = AttentionInputs(self.layer_config, x_BSD, None, documents_BS, training=self.training, causal=False)
        shared = BlockInputs(None, seen.plan(self.encoder_bias))
        for block in self.encoder:
            x_BSD = self._run(block, x_BSD, shared)
        out_BSD: Tensor = self.encoder_norm(x_BSD)
        return out_BSD

    def read(self, x_ND: Tensor) -> Tensor:
        """Return logits_NV over the vocabulary and the sentinels after it."""
        (weight_VD,) = self.read_weights()
        return head_product(x_ND, weight_VD)

    def read_weights(self) -> tuple[Tensor, ...]:
        return ((self.embed_tokens if self.lm_head is None else self.lm_head).weight,)

    def blocks(self) -> nn.ModuleList:
        """Return the first block of the encoder, of the decoder, the second of the encoder and so on."""
        return nn.ModuleList(block for pair in zip(self.encoder, self.decoder, strict=True) for block in pair)

    def roles(self) -> dict[str, Role]:
        """As in `Network`; a relative bias, a few numbers a head that every attention score depends on, is not an embedding."""
        biases = {"encoder_bias.weight", "decoder_bias.weight"}
        return {name: "vector" if name in biases else role for name, role in super().roles().items()}

    @torch.no_grad()
    def fill(self, texts: Sequence[Sequence[int]], most: int) -> list[list[int]]:
        """Write greedily what the gaps of each text hide: up to `most` tokens, without the sentinel that ends them.

        A text has sentinels where it has gaps, in their order. Keys and values of what is read are computed once, those of what is
        written are kept. In evaluation mode.
        """
        sizes = [len(text) for text in texts]
        tokens_BS = torch.full((len(texts), max(sizes)), START, dtype=torch.int64, device=self.embed_tokens.weight.device)
        documents_BS = torch.ones_like(tokens_BS)
        for row, text in enumerate(texts):
            tokens_BS[row, : sizes[row]] = torch.tensor(text, dtype=torch.int64)
            documents_BS[row, : sizes[row]] = 0
        ends = [self.vocab_size + sum(token >= self.vocab_size for token in text) for text in texts]
        memory_BSD = self.encode(tokens_BS, documents_BS)
        read = [block.cross_attn.keys_values(memory_BSD, None) for block in self._writing()]
        kept: list[tuple[Tensor, Tensor]] = [(key[:, :, :0], value[:, :, :0]) for key, value in read]
        bias_HP = self.decoder_bias.table(most, tokens_BS.device)
        next_B1, found, open_rows = torch.full_like(tokens_BS[:, :1], START), [list[int]() for _ in texts], set(range(len(texts)))
        for count in range(1, most + 1):
            x_B1D = self._embed(next_B1)
            plan = AttentionPlan(mask=bias_HP[:, :count].flip(1)[None, :, None].to(x_B1D.dtype), causal=False)
            shared = WritingInputs(plan, self._cross_plan(x_B1D, torch.zeros_like(next_B1), documents_BS))
            for number, block in enumerate(self._writing()):
                h_B1D = block.input_layernorm(x_B1D)
                key, value = block.self_attn.keys_values(h_B1D, None)
                kept[number] = (torch.cat((kept[number][0], key), dim=2), torch.cat((kept[number][1], value), dim=2))
                x_B1D = block.after(x_B1D, h_B1D, kept[number], read[number], shared)
            next_B1 = self.read(self.norm(x_B1D)).argmax(-1)
            for row in sorted(open_rows):
                token = int(next_B1[row, 0])
                if token == ends[row]:
                    open_rows.discard(row)
                else:
                    found[row].append(token)
            if not open_rows:
                break
        return found

    def _writing(self) -> list[WritingBlock]:
        return [block for block in self.decoder if isinstance(block, WritingBlock)]

    def _embed(self, tokens_BT: Tensor) -> Tensor:
        x_BTD = embed_inputs(self, {"tokens": tokens_BT})
        return functional.dropout(x_BTD, self.config.dropout) if self.config.dropout and self.training else x_BTD

    def _run(self, block: nn.Module, *given: object) -> Tensor:
        out: Tensor = checkpoint(block, *given, use_reentrant=False) if self.recompute and self.training else block(*given)
        return out

    def _cross_plan(self, x_BTD: Tensor, documents_BT: Tensor | None, documents_BS: Tensor | None) -> AttentionPlan:
        """Return how the decoder sees the encoder's vectors: all of its own document's. No bias, as in T5."""
        seen = AttentionInputs(self.layer_config, x_BTD, None, documents_BT, training=self.training, causal=False)
        kernel = "plain" if seen.plan(None).kernel == "plain" else "fused"
        mask = None
        if documents_BT is not None and documents_BS is not None:
            mask = (documents_BT[:, :, None] == documents_BS[:, None, :])[:, None]
        if kernel == "plain" and mask is not None:
            mask = additive_mask(mask, len(x_BTD), self.config.heads, self.config.heads, seen.dtype)
        return AttentionPlan("plain" if kernel == "plain" else "fused", mask, causal=False)
