"""What a forward pass sees, made once for all of its layers: masks, position biases, and the way attention is computed.

Guarantee: rows of one document, and the newest token alone, need nothing in memory and take the fused kernel, unless a pattern,
a bias or a soft cap asks for more.
Cost: a mask of B T S bits for packed rows; with ALiBi or relative bias H T S numbers more, H B T S for both at once.
When it can't: positions given by hand while a cache holds others raise ValueError where distances count.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from model.layers.attend import Sight, Way, added_rows
from model.layers.biases import Alibi, RelativeBias
from model.layers.documents import positions_in_documents
from model.layers.masks import continued_mask, document_mask, pattern_limits, pattern_rule
from model.networks.config import DecoderConfig

PLAIN_LIMIT = 512
FLEX_WIDTH = 16  # the kernel's smallest head


class View:
    """What one forward pass knows of its tokens, before any layer has run."""

    def __init__(
        self, config: DecoderConfig, x_BTD: Tensor, start: int, positions_BT: Tensor | None, documents_BT: Tensor | None, *, training: bool
    ) -> None:
        self.config, self.documents_BT, self.training = config, documents_BT, training
        self.batch, self.time, self.start, self.stop = x_BTD.shape[0], x_BTD.shape[1], start, start + x_BTD.shape[1]
        self.device, self.dtype = x_BTD.device, x_BTD.dtype
        if torch.is_autocast_enabled(self.device.type):
            self.dtype = torch.get_autocast_dtype(self.device.type)
        self.given = positions_BT is not None
        # One past the last position, known without asking the device unless positions are given.
        self.end = self.stop if positions_BT is None else int(positions_BT.max()) + 1
        self.limited = pattern_limits(config, self.end)
        if self.given and start and (self.limited or config.positions in ("alibi", "relative")):
            raise ValueError(
                f"positions_BT together with a cache: positions={config.positions} and pattern={config.pattern} count distances to cached "
                "tokens, whose places are their order; leave positions_BT out"
            )
        if positions_BT is None and documents_BT is not None:
            positions_BT = positions_in_documents(documents_BT)
        # Positions of the new tokens; None: start .. stop - 1 in every row.
        self.positions_BT = positions_BT

    def places(self) -> Tensor:
        """Positions of the new tokens, [B or 1, T]."""
        return torch.arange(self.start, self.stop, device=self.device)[None] if self.positions_BT is None else self.positions_BT

    def sight(self, bias: Alibi | RelativeBias | None, *, cached: bool) -> Sight:
        """See `Sight`; `cached`: keys and values go through a cache."""
        cap = self.config.attention_soft_cap
        way = self._way(learned=isinstance(bias, RelativeBias), biased=bias is not None, cached=cached)
        if way == "flex":
            return self._flex(bias)
        mask = self._mask()
        if bias is not None:
            added = self._bias(bias)
            if mask is None and self.time > 1:
                mask = continued_mask(self.start, self.time, self.device)
            mask = (added if mask is None else added.masked_fill(~mask, float("-inf"))).to(self.dtype)
        if way == "plain":
            if mask is None and self.time > 1:
                mask = continued_mask(self.start, self.time, self.device)
            groups = self.config.kv_heads if self.config.attention == "grouped" else 1 if cached else self.config.heads
            mask = None if mask is None else added_rows(mask, self.batch, self.config.heads, groups, self.dtype)
        return Sight(way, mask, cap)

    def _way(self, *, learned: bool, biased: bool, cached: bool) -> Way:
        capped, config = self.config.attention_soft_cap > 0, self.config
        special = capped or biased or self.limited or self.documents_BT is not None
        widths = config.head_width + (config.rotary_width if config.attention == "latent" else 0)
        if (
            self.device.type == "cuda"
            and special
            and not cached
            and self.time > 1
            and not learned
            and not (config.dropout and self.training)
            and widths >= FLEX_WIDTH
        ):
            return "flex"
        short = 1 < self.time <= PLAIN_LIMIT and self.dtype == torch.bfloat16 and self.device.type == "cpu"
        return "plain" if capped or short else "fused"

    def _mask(self) -> Tensor | None:
        """bool [B or 1, 1, T, S]; None: plainly causal, or one new token that sees all."""
        if self.documents_BT is not None:
            mask = document_mask(self.documents_BT)
        elif self.limited or (self.start and self.time > 1):
            mask = continued_mask(self.start, self.time, self.device)
        else:
            return None
        if self.limited:
            key_XS = torch.arange(self.stop, device=self.device)[None] if self.positions_BT is None else self.positions_BT
            mask = mask & pattern_rule(self.config)(self.places()[:, None, :, None], key_XS[:, None, None, :])
        return mask

    def _distances(self) -> Tensor:
        """How far before each query each key stands, 0 for later ones; [B or 1, T, S].

        Inside a document that is a difference of columns, whatever row it is in.
        """
        if self.given and self.positions_BT is not None:
            return (self.positions_BT[:, :, None] - self.positions_BT[:, None, :]).clamp(min=0)
        key_S = torch.arange(self.stop, device=self.device)
        return (key_S[self.start :, None] - key_S[None, :]).clamp(min=0)[None]

    def _bias(self, bias: Alibi | RelativeBias) -> Tensor:
        """What is added to scores, [B or 1, H, T, S]."""
        return bias.table(self.end, self.device)[:, self._distances()].transpose(0, 1)

    def _flex(self, bias: Alibi | RelativeBias | None) -> Sight:
        from torch.nn.attention.flex_attention import create_block_mask

        documents_BT, cap = self.documents_BT, self.config.attention_soft_cap
        rule = pattern_rule(self.config) if self.limited else None
        place_XT = self.places().expand(self.batch, -1).contiguous()
        slope_H = -bias.table(2, self.device)[:, 1] if isinstance(bias, Alibi) else None

        def visible(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            seen = query >= key
            if documents_BT is not None:
                seen = seen & (documents_BT[batch, query] == documents_BT[batch, key])
            if rule is not None:
                seen = seen & rule(place_XT[batch, query], place_XT[batch, key])
            return seen

        def changed(score: Tensor, batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            score = cap * torch.tanh(score / cap) if cap else score
            if slope_H is None:
                return score
            return score - slope_H[head] * (place_XT[batch, query] - place_XT[batch, key])

        rows: Any = self.batch if documents_BT is not None or self.given else None
        block_mask = create_block_mask(visible, rows, None, self.time, self.time, device=str(self.device))
        return Sight("flex", None, cap, block_mask, changed if cap or slope_H is not None else None)
