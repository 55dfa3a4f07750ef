"""The attention plan of one forward pass, made once for all layers: the kernel, the mask, and position biases.

Rows of one document need no mask and take the fused kernel, unless a pattern, a bias or a soft cap asks for more; generation has a plan
of its own. Packed rows cost a mask of B T S bits; ALiBi and relative bias cost H T S numbers more, or H B T S with packed rows.
Attention is causal unless `causal` is off: then a token sees all of its document, in rows of one document without any mask.

Attention masks: causal, inside documents, and sparse patterns.

A token sees itself and earlier tokens of its own document, nothing else; without the causal mask, all of its document. Tokens of a prompt
are seen by all of their document. Patterns count positions inside the document, so a packed document is masked as it would be alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from model.layers.config import AttentionConfig
from model.layers.positions import Alibi, RelativeBias, positions_in_documents

Rule = Callable[[Tensor, Tensor], Tensor]


def document_mask(documents_BT: Tensor, *, causal: bool = True) -> Tensor:
    """Return the block-diagonal mask of packed rows, bool [B, 1, T, S]: true where query t may see key s."""
    time = documents_BT.shape[1]
    same_BTS = documents_BT[:, :, None] == documents_BT[:, None, :]
    if not causal:
        return same_BTS[:, None]
    return (same_BTS & torch.ones(time, time, dtype=torch.bool, device=documents_BT.device).tril())[:, None]


def causal_mask(time: int, device: torch.device) -> Tensor:
    """Return the causal mask of `time` tokens, bool [1, 1, time, time]."""
    return torch.ones(time, time, dtype=torch.bool, device=device).tril()[None, None]


def pattern_hides(config: AttentionConfig, length: int) -> bool:
    """Return whether the pattern hides any earlier token in a text of `length` tokens."""
    if config.pattern == "sliding":
        return length > config.window
    if config.pattern == "block_sparse":
        return length > config.block * (config.local_blocks + config.global_blocks + 1)
    return False


def pattern_rule(config: AttentionConfig) -> Rule:
    """Return the elementwise test of whether a query's position may see a key's, given that the key is not later.

    The test closes over numbers alone, so FlexAttention compiles it once for all forward passes.
    """
    window, block, local_blocks, global_blocks = config.window, config.block, config.local_blocks, config.global_blocks

    def sliding(query: Tensor, key: Tensor) -> Tensor:
        return query - key < window

    def block_sparse(query: Tensor, key: Tensor) -> Tensor:
        return (query // block - key // block <= local_blocks) | (key // block < global_blocks)

    return sliding if config.pattern == "sliding" else block_sparse


@cache
def block_mask_maker(device_type: str) -> Callable[..., Any]:
    """Return FlexAttention's `create_block_mask`, compiled on CUDA: there it makes the mask's blocks without the B T S numbers between.

    One compilation serves all masks of a shape and a rule, for any documents.
    """
    from torch.nn.attention.flex_attention import create_block_mask

    maker: Callable[..., Any] = create_block_mask
    return torch.compile(maker) if device_type == "cuda" else maker


def additive_mask(mask_XYTS: Tensor, batch: int, heads: int, groups: int, dtype: torch.dtype) -> Tensor:
    """Return a mask (bool, or already a bias) as the bias that `plain_attention` adds: [B G or 1, heads / groups x T, S]."""
    if mask_XYTS.dtype == torch.bool:
        mask_XYTS = torch.zeros_like(mask_XYTS, dtype=dtype).masked_fill_(~mask_XYTS, float("-inf"))
    time, past = mask_XYTS.shape[2:]
    shared = heads // groups
    if mask_XYTS.shape[1] == 1:
        bias = mask_XYTS[:, :, None].expand(batch, groups, shared, time, past)
    else:
        bias = mask_XYTS.expand(batch, heads, time, past)
    return bias.reshape(batch * groups, shared * time, past).to(dtype)


Kernel = Literal["fused", "plain", "flex"]

# On a CPU, bf16 sequences up to this length are faster with the plain kernel: the fused one's backward pass is slow there.
PLAIN_LIMIT = 512
FLEX_WIDTH = 16  # FlexAttention takes no narrower heads


@dataclass(frozen=True)
class AttentionPlan:
    """The kernel, mask and biases of all layers in one forward pass.

    mask: for fused: bool (true: may see) or a bias on scores, broadcasting to [B, H, T, S]; None: plainly causal if `causal`, else
    every token sees everything, as one new token does. For plain: the bias from `additive_mask`. block_mask and score_mod: for flex.
    """

    kernel: Kernel = "fused"
    mask: Tensor | None = None
    soft_cap: float = 0.0
    block_mask: Any = None
    score_mod: Callable[..., Tensor] | None = None
    causal: bool = True


class AttentionInputs:
    """The tokens' metadata of one forward pass: positions, documents, type and device.

    parts: workers of tensor parallelism that share the heads evenly; this one computes its part of them.
    before: keys that stand before the tokens and that every token sees; the first columns of each mask are theirs.
    prompt_BT: bool, the tokens that all of their document sees: a prompt at its beginning. None: there are none.
    Raise ValueError for attention that is not causal with a pattern or ALiBi, which look back alone.
    """

    def __init__(
        self,
        config: AttentionConfig,
        x_BTD: Tensor,
        positions_BT: Tensor | None,
        documents_BT: Tensor | None,
        *,
        training: bool,
        causal: bool = True,
        parts: int = 1,
        before: int = 0,
        prompt_BT: Tensor | None = None,
    ) -> None:
        self.config, self.documents_BT, self.training, self.causal = config, documents_BT, training, causal
        self.before, self.prompt_BT = before, prompt_BT
        self.heads, self.kv_heads = config.heads // parts, config.kv_heads // parts
        if (not causal or prompt_BT is not None) and (config.pattern != "full" or config.positions == "alibi"):
            raise ValueError(
                f"attention to later tokens with pattern={config.pattern} and positions={config.positions}: patterns and ALiBi look back "
                "alone"
            )
        self.batch, self.time = x_BTD.shape[:2]
        self.device, self.dtype = x_BTD.device, x_BTD.dtype
        if torch.is_autocast_enabled(self.device.type):
            self.dtype = torch.get_autocast_dtype(self.device.type)
        self.explicit_positions = positions_BT is not None
        # One past the last position. Reading it from the device would stall, so only explicit positions are read.
        self.end = self.time if positions_BT is None else int(positions_BT.max()) + 1
        self.sparse = pattern_hides(config, self.end)
        if positions_BT is None and documents_BT is not None:
            positions_BT = positions_in_documents(documents_BT)
        # None: 0 .. time - 1 in every row.
        self.positions_BT = positions_BT

    def positions(self) -> Tensor:
        """Return the positions of the tokens, [B or 1, T]."""
        return torch.arange(self.time, device=self.device)[None] if self.positions_BT is None else self.positions_BT

    def plan(self, bias: Alibi | RelativeBias | None) -> AttentionPlan:
        """Choose kernel and mask."""
        kernel = self._kernel(learned=isinstance(bias, RelativeBias), biased=bias is not None)
        if kernel == "flex":
            return self._flex_plan(bias)
        mask = self._mask()
        if bias is not None:
            bias_XHTS = self._bias(bias)
            if mask is None and self.causal and self.time > 1:
                mask = causal_mask(self.time, self.device)
            mask = (bias_XHTS if mask is None else bias_XHTS.masked_fill(~mask, float("-inf"))).to(self.dtype)
        if mask is None and self.causal and self.time > 1 and (kernel == "plain" or self.before):
            mask = causal_mask(self.time, self.device)
        if mask is not None and self.before:
            mask = pad(mask, (self.before, 0), value=1.0 if mask.dtype == torch.bool else 0.0)
        if kernel == "plain":
            groups = self.kv_heads if self.config.attention == "grouped" else self.heads
            mask = None if mask is None else additive_mask(mask, self.batch, self.heads, groups, self.dtype)
        return AttentionPlan(kernel, mask, self.config.attention_soft_cap, causal=self.causal)

    def _kernel(self, *, learned: bool, biased: bool) -> Kernel:
        capped, config = self.config.attention_soft_cap > 0, self.config
        special = capped or biased or self.sparse or self.documents_BT is not None or self.prompt_BT is not None
        key_width = config.head_dim + (config.rotary_width if config.attention == "latent" else 0)
        if (
            self.device.type == "cuda"
            and special
            and self.time > 1
            and not learned
            and not (config.dropout and self.training)
            and key_width >= FLEX_WIDTH
        ):
            return "flex"
        short = 1 < self.time <= PLAIN_LIMIT and self.dtype == torch.bfloat16 and self.device.type == "cpu"
        return "plain" if capped or short else "fused"

    def _mask(self) -> Tensor | None:
        """Return bool [B or 1, 1, T, S]; None: plainly causal, or every token sees everything."""
        if self.documents_BT is not None:
            mask = document_mask(self.documents_BT, causal=self.causal)
        elif self.sparse or self.prompt_BT is not None:
            mask = causal_mask(self.time, self.device)
        else:
            return None
        if self.prompt_BT is not None:
            seen_BTS = self.prompt_BT[:, None, :]
            if self.documents_BT is not None:
                seen_BTS = seen_BTS & (self.documents_BT[:, :, None] == self.documents_BT[:, None, :])
            mask = mask | seen_BTS[:, None]
        if self.sparse:
            key_XS = torch.arange(self.time, device=self.device)[None] if self.positions_BT is None else self.positions_BT
            mask = mask & pattern_rule(self.config)(self.positions()[:, None, :, None], key_XS[:, None, None, :])
        return mask

    def _distances(self) -> Tensor:
        """Return how many tokens each key stands before each query, negative for later keys; [B or 1, T, S]."""
        # Inside a document the distance is the difference of columns, so packed rows need no positions here.
        given = self.positions_BT if self.explicit_positions else None
        position_XT = torch.arange(self.time, device=self.device)[None] if given is None else given
        return position_XT[:, :, None] - position_XT[:, None, :]

    def _bias(self, bias: Alibi | RelativeBias) -> Tensor:
        """Return the bias on scores, [B or 1, H, T, S]."""
        distance_XTS, table_HX = self._distances(), bias.table(self.end, self.device)
        return table_HX[:, distance_XTS.clamp(min=0) if self.causal else self.end - 1 - distance_XTS].transpose(0, 1)

    def _flex_plan(self, bias: Alibi | RelativeBias | None) -> AttentionPlan:
        documents_BT, prompt_BT, cap, causal = self.documents_BT, self.prompt_BT, self.config.attention_soft_cap, self.causal
        rule = pattern_rule(self.config) if self.sparse else None
        positions_BT = self.positions().expand(self.batch, -1).contiguous()
        slope_H = -bias.table(2, self.device)[:, 1] if isinstance(bias, Alibi) else None

        def visible(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            seen = query >= key if causal else key >= 0
            if prompt_BT is not None:
                seen = seen | prompt_BT[batch, key]
            if documents_BT is not None:
                seen = seen & (documents_BT[batch, query] == documents_BT[batch, key])
            if rule is not None:
                seen = seen & rule(positions_BT[batch, query], positions_BT[batch, key])
            return seen

        def score_mod(score: Tensor, batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            score = cap * torch.tanh(score / cap) if cap else score
            if slope_H is None:
                return score
            return score - slope_H[head] * (positions_BT[batch, query] - positions_BT[batch, key])

        def visible_after(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return (key < before) | visible(batch, head, query, (key - before).clamp(min=0))

        before, seen_by = self.before, visible_after if self.before else visible
        rows: Any = self.batch if documents_BT is not None or prompt_BT is not None or self.explicit_positions else None
        block_mask = block_mask_maker(self.device.type)(seen_by, rows, None, self.time, before + self.time, device=str(self.device))
        return AttentionPlan("flex", None, cap, block_mask, score_mod if cap or slope_H is not None else None)
