"""What the new tokens of rows of unequal length attend to, decided once for all layers of a step."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from model.layers.attention_plan import AttentionPlan
from model.layers.config import AttentionConfig
from model.layers.decoding.state import Window
from model.layers.masks import additive_mask, pattern_hides, pattern_rule
from model.layers.positions.bias import Alibi, RelativeBias


def decoding_plan(config: AttentionConfig, window: Window, bias: Alibi | RelativeBias | None) -> AttentionPlan:
    """Return kernel and mask. Rows of one length with nothing to hide or to add need no mask."""
    time, end, before = window.time, window.end, window.state.before
    sparse = pattern_hides(config, end)
    capped = config.attention_soft_cap > 0
    if bias is None and not sparse and window.level and (time == 1 or (end == time and not capped and not before)):
        return AttentionPlan("plain" if capped else "fused", soft_cap=config.attention_soft_cap)
    query_NT1, key_S = window.positions_NT[:, :, None], torch.arange(end, device=window.positions_NT.device)
    seen_NTS = key_S <= query_NT1
    if sparse:
        seen_NTS = seen_NTS & pattern_rule(config)(query_NT1, key_S)
    mask_NHTS: Tensor = seen_NTS[:, None]
    if bias is not None:
        distance_NTS = (query_NT1 - key_S).clamp(min=0)
        bias_NHTS = bias.table(end, key_S.device).detach().float()[:, distance_NTS].transpose(0, 1)
        mask_NHTS = bias_NHTS.masked_fill(~mask_NHTS, float("-inf"))
    if before:
        mask_NHTS = pad(mask_NHTS, (before, 0), value=1.0 if mask_NHTS.dtype == torch.bool else 0.0)
    if capped:
        groups = config.kv_heads if config.attention == "grouped" else 1
        mask_NHTS = additive_mask(mask_NHTS, window.rows, config.heads, groups, torch.float32)
    return AttentionPlan("plain" if capped else "fused", mask_NHTS, config.attention_soft_cap)
