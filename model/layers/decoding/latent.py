"""Multi-head latent attention for generation: absorbed, so all heads attend to one small entry per token.

The key matrix is taken into the queries and the value matrix into the output, as in DeepSeek-V2 (2024, section 2.1.2).
"""

from __future__ import annotations

import torch
from torch import Tensor

from model.layers.attention_kernels import attend
from model.layers.attention_plan import AttentionPlan
from model.layers.decoding.norms import split_norm, whole_norm
from model.layers.decoding.projection import Affine, Projection, fuse, matrix_of, writing
from model.layers.decoding.rotation import paired_order, rotate_pairs_
from model.layers.decoding.state import Window
from model.layers.latent_attention import LatentAttention


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
