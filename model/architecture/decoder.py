"""The decoder: tokens in, a logit for each next token out. Parameters carry Hugging Face's Llama names.

Guarantee: `transformers.LlamaForCausalLM` loaded with the same tensors gives the same logits (1e-5 in fp32). The same
seed gives the same initial weights, tensor by tensor: each is drawn from its own name, so adding a layer moves no other.
Cost: about 6 floating point operations a parameter and token to train, 2 to evaluate.
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.architecture.attention import Attention, KeyValueCache, continued_mask, document_mask
from model.architecture.config import DecoderConfig
from model.architecture.feed_forward import FeedForward
from model.architecture.norms import RMSNorm
from model.architecture.positions import RotaryTable, positions_in_documents


class Block(nn.Module):
    """Attention, then feed-forward, each on a normalized copy and added to the residual stream."""

    def __init__(self, config: DecoderConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.width, config.norm_epsilon)
        self.self_attn = Attention(config, layer)
        self.post_attention_layernorm = RMSNorm(config.width, config.norm_epsilon)
        self.mlp = FeedForward(config)

    def forward(self, x_BTD: Tensor, rotary: tuple[Tensor, Tensor], mask_B1TS: Tensor | None, cache: KeyValueCache | None) -> Tensor:
        x_BTD = x_BTD + self.self_attn(self.input_layernorm(x_BTD), rotary, mask_B1TS, cache)
        out_BTD: Tensor = x_BTD + self.mlp(self.post_attention_layernorm(x_BTD))
        return out_BTD


class Trunk(nn.Module):
    """Embedding, blocks and last norm: everything but the reading of logits."""

    def __init__(self, config: DecoderConfig, vocab_size: int) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(vocab_size, config.width)
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.norm = RMSNorm(config.width, config.norm_epsilon)
        self.rotary = RotaryTable(config.head_width, config.rope_theta)

    def forward(
        self,
        tokens_BT: Tensor,
        positions_BT: Tensor | None = None,
        documents_BT: Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """x_BTD after the last norm. See `Decoder.forward` for the arguments."""
        x_BTD = self.embed_tokens(tokens_BT)
        around = self.surroundings(x_BTD, positions_BT, documents_BT, cache)
        for block in self.layers:
            x_BTD = block(x_BTD, *around, cache)
        normed: Tensor = self.norm(x_BTD)
        return normed

    def surroundings(
        self,
        x_BTD: Tensor,
        positions_BT: Tensor | None = None,
        documents_BT: Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> tuple[tuple[Tensor, Tensor], Tensor | None]:
        """What every block is given beside x_BTD: rotary tables and mask; it is the same for all of them."""
        start, time = (cache.length if cache is not None else 0), x_BTD.shape[1]
        mask_B1TS = None
        if documents_BT is not None:
            if cache is not None:
                raise ValueError("documents_BT and cache together: packed rows are for training, a cache holds one text")
            mask_B1TS = document_mask(documents_BT)
            positions_BT = positions_in_documents(documents_BT) if positions_BT is None else positions_BT
        elif start and time > 1:
            mask_B1TS = continued_mask(start, time, x_BTD.device)
        return self._rotary(x_BTD, start, positions_BT), mask_B1TS

    def _rotary(self, x_BTD: Tensor, start: int, positions_BT: Tensor | None) -> tuple[Tensor, Tensor]:
        if positions_BT is None:
            stop = start + x_BTD.shape[1]
            cos_PK, sin_PK = self.rotary.upto(stop, x_BTD)
            return cos_PK[start:stop], sin_PK[start:stop]
        cos_PK, sin_PK = self.rotary.upto(int(positions_BT.max()) + 1, x_BTD)
        return cos_PK[positions_BT][:, None], sin_PK[positions_BT][:, None]


class Decoder(nn.Module):
    """A decoder-only Transformer over `vocab_size` tokens, initialized from `seed`."""

    def __init__(self, config: DecoderConfig, vocab_size: int, *, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        self.model = Trunk(config, vocab_size)
        self.lm_head = None if config.tied_embeddings else nn.Linear(config.width, vocab_size, bias=False)
        initialize(self, seed)

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
        return functional.linear(x_ND, weight_VD)


def initialize(decoder: Decoder, seed: int) -> None:
    """Normal weights, unit gains; outputs into the residual stream scaled down by sqrt(2 layers), as GPT-2.

    2 * layers outputs add up in the stream: the scale keeps its variance at the end near that at the start.
    """
    config = decoder.config
    for name, parameter in decoder.named_parameters():
        if parameter.dim() == 1:
            nn.init.ones_(parameter)
            continue
        residual = name.endswith(("o_proj.weight", "down_proj.weight"))
        std = config.initial_std / math.sqrt(2 * config.layers) if residual else config.initial_std
        digest = hashlib.sha256(f"{seed}\0{name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))
        with torch.no_grad():
            parameter.copy_(torch.empty(parameter.shape).normal_(0.0, std, generator=generator))
