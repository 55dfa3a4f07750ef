"""A Transformer's block as it writes: what new tokens see, rotary positions, attention, and latent attention."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.functional import pad

from model.layers.attention import Attention, LatentAttention, attend
from model.layers.attention_plan import AttentionPlan, additive_mask, pattern_hides, pattern_rule
from model.layers.block import Block, FeedForward
from model.layers.config import AttentionConfig, PositionsConfig
from model.layers.decoding.projection import NEUTRAL, Affine, Projection, folded, fuse, matrix_of, split_norm, whole_norm, writing
from model.layers.decoding.state import Window
from model.layers.experts import Experts, choose
from model.layers.norms import RMSNorm
from model.layers.positions import Alibi, RelativeBias, frequencies


def decoding_plan(config: AttentionConfig, window: Window, bias: Alibi | RelativeBias | None, prompts: Sequence[int] = ()) -> AttentionPlan:
    """Return kernel and mask. Rows of one length with nothing to hide or to add need no mask.

    prompts: how many of the new tokens each row has, where those of rows that held none are a prompt, which sees all of itself.
    """
    time, end, before = window.time, window.end, window.state.before
    sparse = pattern_hides(config, end)
    capped = config.attention_soft_cap > 0
    whole_N = [0 if start else count for start, count in zip(window.starts, prompts, strict=True)] if prompts and time > 1 else []
    if not any(whole_N) and bias is None and not sparse and window.level and (time == 1 or (end == time and not capped and not before)):
        return AttentionPlan("plain" if capped else "fused", soft_cap=config.attention_soft_cap)
    query_NT1, key_S = window.positions_NT[:, :, None], torch.arange(end, device=window.positions_NT.device)
    seen_NTS = key_S <= query_NT1
    if any(whole_N):
        seen_NTS = seen_NTS | (key_S < torch.tensor(whole_N, device=key_S.device)[:, None, None])
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


class Rotation:
    """The turn of each pair of channels at each position, complex [P, R / 2]; grows with the longest text."""

    def __init__(self, config: PositionsConfig, rotary_width: int, device: torch.device) -> None:
        self.config, self.rotary_width = config, rotary_width
        self._turn_PR = torch.empty((0, rotary_width // 2), dtype=torch.complex64, device=device)

    def of(self, window: Window) -> Tensor:
        """Return the turns of the new tokens, complex, broadcasting to [M, X, R / 2]."""
        turn_PR = self._up_to(window.end)
        return turn_PR[window.end - 1] if window.single else turn_PR[window.positions_NT.flatten()][:, None]

    def table(self, end: int) -> Tensor:
        """Return cosine and sine of each pair's turn, side by side, at all positions below `end` and perhaps more, fp32 [P, R]."""
        return torch.view_as_real(self._up_to(end)).flatten(1)

    def _up_to(self, end: int) -> Tensor:
        turn_PR = self._turn_PR
        if len(turn_PR) < end:
            frequency_R, scale = frequencies(self.config, self.rotary_width)
            length = max(end, min(2 * end, self.config.context))
            angle_PR = torch.arange(length, dtype=torch.float32)[:, None] * frequency_R[None, :]
            # Another thread may read texts with the same network; each goes on with the table that it has seen.
            self._turn_PR = turn_PR = torch.polar(torch.full_like(angle_PR, scale), angle_PR).to(turn_PR.device)
        return turn_PR


def paired_order(heads: int, before: int, rotated: int) -> Tensor:
    """Return the order of the channels of `heads` heads, each `before` numbers as they are and `rotated` ones paired, int64."""
    half = rotated // 2
    pairs = torch.stack((torch.arange(half), torch.arange(half) + half), dim=1).flatten() + before
    head = torch.cat((torch.arange(before), pairs))
    return (torch.arange(heads)[:, None] * (before + rotated) + head[None, :]).flatten()


def rotate_pairs_(x_MXR: Tensor, turn_MXR: Tensor) -> None:
    """Rotate in place; `x_MXR` has its last axis in one piece."""
    torch.view_as_complex(x_MXR.view(*x_MXR.shape[:-1], -1, 2)).mul_(turn_MXR)


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


class DecodingLatentAttention:
    """x_MD -> the stream plus attention's output. An entry of the state is the latent vector and the rotary key: [1, L + R]."""

    def __init__(self, attention: LatentAttention, before: Affine, *, rotary: bool) -> None:
        self.layer, self.heads, self.width = attention.layer, attention.heads, attention.head_width
        self.rotary_width, self.latent, self.scale = attention.rotary_width, attention.latent, attention.scale
        inner = self.width + self.rotary_width
        queries = paired_order(self.heads, self.width, self.rotary_width) if rotary else None
        entry = paired_order(1, self.latent, self.rotary_width) if rotary else None
        self.query: Projection | None = None
        if attention.latent_query:
            self.first = attention.q_a_proj.out_features
            self.query_norm, after = split_norm(attention.q_a_layernorm)
            self.project = fuse((attention.q_a_proj, attention.kv_a_proj_with_mqa), before, (None, entry))
            self.query = fuse((attention.q_b_proj,), after, (queries,))
        else:
            self.first = self.heads * inner
            self.project = fuse((attention.q_proj, attention.kv_a_proj_with_mqa), before, (queries, entry))
        self.latent_norm = whole_norm(attention.kv_a_layernorm)
        weight_HXL = matrix_of(attention.kv_b_proj)[0].view(self.heads, 2 * self.width, self.latent)
        self.key_HKL, value_HKL = weight_HXL.chunk(2, dim=1)
        self.value_HLK = value_HKL.transpose(1, 2)
        self.output = writing(attention.o_proj)

    def __call__(self, stream_MD: Tensor, x_MD: Tensor, turn_MXR: Tensor | None, plan: AttentionPlan, window: Window) -> Tensor:
        rows, time = window.rows, window.time
        both_MX = self.project(x_MD)
        query_MQ, entry_MC = both_MX[:, : self.first], both_MX[:, self.first :]
        if self.query is not None:
            query_MQ = self.query(self.query_norm(query_MQ))
        query_MHX = query_MQ.reshape(rows * time, self.heads, -1)
        entry_M1C = torch.cat((self.latent_norm(entry_MC[:, : self.latent]), entry_MC[:, self.latent :]), dim=1)[:, None]
        if turn_MXR is not None:
            rotate_pairs_(query_MHX[..., self.width :], turn_MXR)
            rotate_pairs_(entry_M1C[..., self.latent :], turn_MXR)
        entries_N1SC = window.update(self.layer, entry_M1C).transpose(1, 2)
        query_MHL = torch.einsum("mhk,hkl->mhl", query_MHX[..., : self.width], self.key_HKL)
        q_NHTC = torch.cat((query_MHL, query_MHX[..., self.width :]), dim=-1).view(rows, time, self.heads, -1).transpose(1, 2)
        out_NHTC = attend(q_NHTC, entries_N1SC, entries_N1SC, plan, scale=self.scale)
        out_NHTK = out_NHTC[..., : self.latent] @ self.value_HLK
        return self.output.added(stream_MD, out_NHTK.transpose(1, 2).reshape(rows * time, -1))


class DecodingFeedForward:
    """x_MD -> the stream plus the feed-forward's output."""

    def __init__(self, layer: FeedForward, before: Affine) -> None:
        gate, up = layer.gate_proj, layer.up_proj
        self.gated, self.activation = gate is not None, layer.activation
        self.project = fuse((up,) if gate is None else (gate, up), before)
        self.output = writing(layer.down_proj)

    def __call__(self, stream_MD: Tensor, x_MD: Tensor) -> Tensor:
        inner_MF = self.project(x_MD)
        if self.gated:
            gate_MF, up_MF = inner_MF.chunk(2, dim=1)
            inner_MF = self.activation(gate_MF).mul_(up_MF)
        else:
            inner_MF = self.activation(inner_MF)
        return self.output.added(stream_MD, inner_MF)


class DecodingExperts:
    """x_MD -> the stream plus the outputs of each token's experts. None drops a token: `capacity` is for training."""

    def __init__(self, layer: Experts, before: Affine) -> None:
        self.settings, self.bias_E = layer.settings, layer.gate.e_score_correction_bias
        self.route = Projection(*folded(layer.gate.weight.detach().float(), None, before))
        self.experts = [DecodingFeedForward(expert, before) for expert in layer.experts]  # type: ignore[arg-type]
        shared = layer.shared_experts
        self.shared = DecodingFeedForward(shared, before) if isinstance(shared, FeedForward) else None

    def __call__(self, stream_MD: Tensor, x_MD: Tensor) -> Tensor:
        _, chosen_MK, weights_MK = choose(self.settings, self.route(x_MD), self.bias_E)
        out_MD = stream_MD.clone() if self.shared is None else self.shared(stream_MD, x_MD)
        for number in sorted(set(chosen_MK.flatten().tolist())):
            token_R, place_R = (chosen_MK == number).nonzero(as_tuple=True)
            y_RD = self.experts[number](x_MD.new_zeros(len(token_R), x_MD.shape[1]), x_MD[token_R])
            out_MD[token_R] += y_RD * weights_MK[token_R, place_R, None]
        return out_MD


def decoding_feed_forward(layer: FeedForward | Experts, before: Affine) -> DecodingFeedForward | DecodingExperts:
    """Return the decoding form of a block's feed-forward, or of its mixture of experts."""
    return DecodingExperts(layer, before) if isinstance(layer, Experts) else DecodingFeedForward(layer, before)


class DecodingBlock:
    """x_MD -> x_MD. A norm before a sublayer is folded into its matrices; one of the stream itself is computed whole."""

    def __init__(self, block: Block, *, rotary: bool) -> None:
        self.post = block.post
        norms = block.input_layernorm, block.post_attention_layernorm
        if block.post:
            self.scales, after = [whole_norm(norm) for norm in norms], [NEUTRAL, NEUTRAL]
        else:
            self.scales, after = map(list, zip(*map(split_norm, norms), strict=True))
        attention = block.self_attn
        kind = DecodingAttention if isinstance(attention, Attention) else DecodingLatentAttention
        self.attention = kind(attention, after[0], rotary=rotary)  # type: ignore[arg-type]
        self.feed_forward = decoding_feed_forward(block.mlp, after[1])

    def __call__(self, x_MD: Tensor, turn_MXR: Tensor | None, plan: AttentionPlan, window: Window) -> Tensor:
        first, second = self.scales
        if self.post:
            x_MD = first(self.attention(x_MD, x_MD, turn_MXR, plan, window))
            return second(self.feed_forward(x_MD, x_MD))
        x_MD = self.attention(x_MD, first(x_MD), turn_MXR, plan, window)
        return self.feed_forward(x_MD, second(x_MD))
