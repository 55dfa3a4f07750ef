"""Grouped-query attention as it writes: one product for queries, keys and values, one rotation, one entry a token and layer."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from model.layers.attention import Attention
from model.layers.attention_kernels import attend
from model.layers.attention_plan import AttentionPlan
from model.layers.decoding.norms import split_norm
from model.layers.decoding.projection import Affine, fuse, writing
from model.layers.decoding.rotation import paired_order, rotate_pairs_
from model.layers.decoding.state import Window
from model.layers.norms import RMSNorm


class DecodingAttention:
    """x_MD -> the stream plus attention's output. An entry of the state is each group's key, then each group's value: [2 G, K]."""

    def __init__(self, attention: Attention, before: Affine, *, rotary: bool) -> None:
        self.layer, self.heads, self.groups, self.width = attention.layer, attention.heads, attention.kv_heads, attention.head_width
        orders = [paired_order(heads, 0, self.width) for heads in (self.heads, self.groups)] if rotary else []
        self.project = fuse((attention.q_proj, attention.k_proj, attention.v_proj), before, orders)
        self.output = writing(attention.o_proj)
        self.norm: HeadNorm | None = None
        if attention.q_norm is not None and attention.k_norm is not None:
            self.norm = HeadNorm(attention.q_norm, attention.k_norm, self.heads, self.groups, rotary=rotary)

    def __call__(self, stream_MD: Tensor, x_MD: Tensor, turn_MXR: Tensor | None, plan: AttentionPlan, window: Window) -> Tensor:
        rows, time, rotated = window.rows, window.time, self.heads + self.groups
        all_MXK = self.project(x_MD).view(rows * time, rotated + self.groups, self.width)
        if self.norm is not None:
            all_MXK[:, :rotated] = self.norm(all_MXK[:, :rotated])
        if turn_MXR is not None:
            rotate_pairs_(all_MXK[:, :rotated], turn_MXR)
        entries_NSXK = window.update(self.layer, all_MXK[:, self.heads :])
        k_NGSK, v_NGSK = entries_NSXK[:, :, : self.groups].transpose(1, 2), entries_NSXK[:, :, self.groups :].transpose(1, 2)
        if time == 1 and plan.kernel == "fused" and (plan.mask is None or plan.mask.shape[1] == 1):
            # The queries of a group are rows of one product.
            q_NGRK = all_MXK[:, : self.heads].view(rows, self.groups, -1, self.width)
            out_NGRK = functional.scaled_dot_product_attention(q_NGRK, k_NGSK, v_NGSK, attn_mask=plan.mask)
            return self.output.added(stream_MD, out_NGRK.reshape(rows, -1))
        q_NHTK = all_MXK[:, : self.heads].view(rows, time, self.heads, self.width).transpose(1, 2)
        out_NHTK = attend(q_NHTK, k_NGSK, v_NGSK, plan)
        return self.output.added(stream_MD, out_NHTK.transpose(1, 2).reshape(rows * time, -1))


def entry_of(key_1GPK: Tensor, value_1GPK: Tensor, *, rotary: bool) -> Tensor:
    """Return keys and values of P positions as the state holds them, [P, 2 G, K]."""
    if rotary:
        key_1GPK = key_1GPK[..., paired_order(1, 0, key_1GPK.shape[-1]).to(key_1GPK.device)]
    return torch.cat((key_1GPK[0], value_1GPK[0])).detach().float().transpose(0, 1).contiguous()


class HeadNorm:
    """The norms of queries and keys, with gains in the order of the rotated channels: x_MXK -> x_MXK for X = heads + groups."""

    def __init__(self, q_norm: RMSNorm, k_norm: RMSNorm, heads: int, groups: int, *, rotary: bool) -> None:
        self.scale, _ = split_norm(q_norm)
        gains = [norm.weight.detach().float().expand(count, -1) for norm, count in ((q_norm, heads), (k_norm, groups))]
        gain_XK = torch.cat(gains)
        self.gain_XK = gain_XK[:, paired_order(1, 0, gain_XK.shape[1])] if rotary else gain_XK

    def __call__(self, x_MXK: Tensor) -> Tensor:
        return self.scale(x_MXK) * self.gain_XK
