"""The gated delta rule (Yang, Kautz and Hatamizadeh, 2025, "Gated Delta Networks"), computed a chunk at once.

Each head keeps a matrix S of values by keys: S_t = exp(-rate step_t) S_(t-1), then S_t += k_t (b_t (v_t - S_t k_t)), so a share b_t of what
the key held is replaced by the new value. Output: S_t q_t, normed and gated. Inside a chunk the replacements are a triangular system
(Yang et al., 2024, "Parallelizing Linear Transformers with the Delta Rule").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.layers.mixers.convolution import CausalConvolution
from model.layers.mixers.mixer import Chunks, Draw, Mixer, Places, State, draw_decays, in_chunks, segments_in_chunks

if TYPE_CHECKING:
    from model.layers.mixers.config import GatedDeltaMixer


class GatedDelta(Mixer):
    """Axes: H heads, K numbers of a head's key and of its value, I = H K = width."""

    def __init__(self, config: GatedDeltaMixer, width: int, norm_epsilon: float) -> None:
        super().__init__()
        self.heads, self.head_width, self.chunk, self.epsilon = width // config.head_width, config.head_width, config.chunk, norm_epsilon
        self.qkv_proj = nn.Linear(width, 3 * width, bias=False)
        self.conv1d = CausalConvolution(3 * width, config.taps)
        self.gate_proj = nn.Linear(width, width, bias=False)
        self.rates_proj = nn.Linear(width, 2 * self.heads, bias=False)  # of each head: how much is replaced, how far it decays
        self.dt_bias = nn.Parameter(torch.empty(self.heads))
        self.A_log = nn.Parameter(torch.empty(self.heads))
        self.norm_weight = nn.Parameter(torch.ones(self.head_width))
        self.o_proj = nn.Linear(width, width, bias=False)

    def forward(self, x_BTD: Tensor, places: Places) -> tuple[Tensor, State]:
        before, state_BHKV = (None, None) if places.state is None else places.state
        mixed_BTX, window = self.conv1d(self.qkv_proj(x_BTD), places, before)
        gate_BTI = self.gate_proj(x_BTD)
        share_BTH, step_BTH = self.rates_proj(x_BTD).float().chunk(2, dim=-1)
        with torch.autocast(x_BTD.device.type, enabled=False):
            heads_BTHX = functional.silu(mixed_BTX).reshape(*mixed_BTX.shape[:2], self.heads, 3 * self.head_width)
            q_BTHK, k_BTHK, v_BTHV = heads_BTHX.chunk(3, dim=-1)
            q_BTHK, k_BTHK = functional.normalize(q_BTHK, dim=-1), functional.normalize(k_BTHK, dim=-1)
            share_BTH = share_BTH.sigmoid()
            log_decay_BTH = -self.A_log.float().exp() * functional.softplus(step_BTH + self.dt_bias.float())
            if (inside_BT := places.inside(x_BTD)) is not None:
                # Padding neither replaces nor decays.
                share_BTH, log_decay_BTH = share_BTH * inside_BT[..., None], log_decay_BTH * inside_BT[..., None]
            given = (q_BTHK * self.head_width**-0.5, k_BTHK, v_BTHV, log_decay_BTH, share_BTH, places.segments(x_BTD))
            y_BTHV, state_BHKV = gated_delta_rule(*given, state_BHKV, self.chunk)
            y_BTHV = functional.rms_norm(y_BTHV, (self.head_width,), self.norm_weight.float(), self.epsilon)
            y_BTI = y_BTHV.flatten(-2) * functional.silu(gate_BTI.float())
        return self.o_proj(y_BTI.to(gate_BTI.dtype)), (window, state_BHKV)

    def empty(self, rows: int, device: torch.device) -> State:
        return self.conv1d.empty(rows, device), torch.zeros(rows, self.heads, self.head_width, self.head_width, device=device)

    def draw_weights(self, draw: Draw, name: str) -> None:
        self.conv1d.draw_weights(draw, f"{name}.conv1d")
        draw_decays(draw, self.A_log, self.dt_bias, name)


def gated_delta_rule(
    q_BTHK: Tensor,
    k_BTHK: Tensor,
    v_BTHV: Tensor,
    log_decay_BTH: Tensor,
    share_BTH: Tensor,
    segment_BT: Tensor,
    state_BHKV: Tensor | None,
    chunk: int,
) -> tuple[Tensor, Tensor]:
    """Return y_BTHV and the state after the last token, of the rule in this module's first lines, all fp32.

    The state starts at `state_BHKV`, or zeros, and again at zeros with each segment after the first.
    """
    time, chunk = q_BTHK.shape[1], min(chunk, q_BTHK.shape[1])
    parts = (in_chunks(part, chunk).transpose(2, 3) for part in (q_BTHK, k_BTHK, v_BTHV, log_decay_BTH, share_BTH))
    q_BCHQK, k_BCHQK, v_BCHQV, log_decay_BCHQ, share_BCHQ = parts
    decays = Chunks.of(segments_in_chunks(segment_BT, chunk), chunk).decays(log_decay_BCHQ)
    shared_BCHQK = k_BCHQK * share_BCHQ[..., None]
    # What a token replaces depends on what earlier ones of its chunk have replaced: (1 + A) u = share v, A strictly below the diagonal.
    system_BCHQS = ((shared_BCHQK @ k_BCHQK.transpose(-1, -2)) * decays.between_BCHQS).tril(-1)
    wanted_BCHQX = torch.cat((v_BCHQV * share_BCHQ[..., None], shared_BCHQK * decays.since_BCHQ[..., None]), dim=-1)
    solved_BCHQX = torch.linalg.solve_triangular(system_BCHQS, wanted_BCHQX, upper=False, unitriangular=True)
    new_BCHQV, old_BCHQK = torch.split(solved_BCHQX, [v_BCHQV.shape[-1], k_BCHQK.shape[-1]], dim=-1)
    seen_BCHQS = (q_BCHQK @ k_BCHQK.transpose(-1, -2)) * decays.between_BCHQS
    asked_BCHQK, written_BCHQK = q_BCHQK * decays.since_BCHQ[..., None], k_BCHQK * decays.until_BCHQ[..., None]
    if state_BHKV is None:
        state_BHKV = v_BCHQV.new_zeros(len(q_BTHK), q_BTHK.shape[2], q_BTHK.shape[3], v_BTHV.shape[3])
    outputs = []
    for number in range(q_BCHQK.shape[1]):
        value_BHQV = new_BCHQV[:, number] - old_BCHQK[:, number] @ state_BHKV
        outputs.append(asked_BCHQK[:, number] @ state_BHKV + seen_BCHQS[:, number] @ value_BHQV)
        kept_BHKV = state_BHKV * decays.whole_BCH[:, number, :, None, None]
        state_BHKV = kept_BHKV + written_BCHQK[:, number].transpose(-1, -2) @ value_BHQV
    return torch.stack(outputs, dim=1).transpose(2, 3).flatten(1, 2)[:, :time], state_BHKV
