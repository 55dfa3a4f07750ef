"""Mamba-2's mixer (Dao and Gu, 2024, "Transformers are SSMs"), with the parameters of the field's own: one group, gates before the norm.

Each head keeps `state` numbers for each of its channels: h_t = exp(-rate step_t) h_(t-1) + step_t x_t b_t, and y_t = h_t c_t + d x_t.
Step, b, c and x are made from the token. Training computes a chunk at once, inside it as attention with decays, between chunks by the
state, so time grows linearly with the row. Generation keeps the state alone, whatever the text's length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.layers.mixers.convolution import CausalConvolution
from model.layers.mixers.mixer import Chunks, Draw, Mixer, Places, State, draw_decays, in_chunks, segments_in_chunks

if TYPE_CHECKING:
    from model.layers.mixers.config import Mamba2Mixer


class Mamba2(Mixer):
    """Axes: H heads of P channels each, N state numbers, I = H P the inner size."""

    def __init__(self, config: Mamba2Mixer, width: int, norm_epsilon: float) -> None:
        super().__init__()
        self.inner, self.state, self.chunk, self.epsilon = config.expand * width, config.state, config.chunk, norm_epsilon
        self.heads, self.head_width = self.inner // config.head_width, config.head_width
        self.in_proj = nn.Linear(width, 2 * self.inner + 2 * self.state + self.heads, bias=False)
        self.conv1d = CausalConvolution(self.inner + 2 * self.state, config.taps, bias=True)
        self.dt_bias = nn.Parameter(torch.empty(self.heads))
        self.A_log = nn.Parameter(torch.empty(self.heads))
        self.D = nn.Parameter(torch.ones(self.heads))
        self.norm_weight = nn.Parameter(torch.ones(self.inner))
        self.o_proj = nn.Linear(self.inner, width, bias=False)

    def forward(self, x_BTD: Tensor, places: Places) -> tuple[Tensor, State]:
        before, state_BHNP = (None, None) if places.state is None else places.state
        gate_BTI, mixed_BTX, step_BTH = self.in_proj(x_BTD).split((self.inner, self.inner + 2 * self.state, self.heads), dim=-1)
        mixed_BTX, window = self.conv1d(mixed_BTX, places, before)
        x_BTI, b_BTN, c_BTN = torch.split(functional.silu(mixed_BTX), [self.inner, self.state, self.state], dim=-1)
        with torch.autocast(x_BTD.device.type, enabled=False):
            step_BTH = functional.softplus(step_BTH.float() + self.dt_bias.float())
            if (inside_BT := places.inside(x_BTD)) is not None:
                step_BTH = step_BTH * inside_BT[..., None]  # padding neither adds nor decays
            x_BTHP = x_BTI.reshape(*x_BTI.shape[:2], self.heads, self.head_width)
            log_decay_BTH = -self.A_log.float().exp() * step_BTH
            given = (x_BTHP * step_BTH[..., None], log_decay_BTH, b_BTN, c_BTN, places.segments(x_BTD))
            y_BTHP, state_BHNP = state_space(*given, state_BHNP, self.chunk)
            y_BTI = (y_BTHP + self.D.float()[:, None] * x_BTHP).flatten(-2) * functional.silu(gate_BTI.float())
            y_BTI = functional.rms_norm(y_BTI, (self.inner,), self.norm_weight.float(), self.epsilon)
        return self.o_proj(y_BTI.to(gate_BTI.dtype)), (window, state_BHNP)

    def empty(self, rows: int, device: torch.device) -> State:
        return self.conv1d.empty(rows, device), torch.zeros(rows, self.heads, self.state, self.head_width, device=device)

    def draw_weights(self, draw: Draw, name: str) -> None:
        self.conv1d.draw_weights(draw, f"{name}.conv1d")
        draw_decays(draw, self.A_log, self.dt_bias, name)


def state_space(
    x_BTHP: Tensor, log_decay_BTH: Tensor, b_BTN: Tensor, c_BTN: Tensor, segment_BT: Tensor, state_BHNP: Tensor | None, chunk: int
) -> tuple[Tensor, Tensor]:
    """Return y_BTHP and the state after the last token, of h_t = exp(log_decay_t) h_(t-1) + b_t x_t and y_t = c_t h_t, all fp32.

    The state starts at `state_BHNP`, or zeros, and again at zeros with each segment after the first.
    """
    time, chunk = x_BTHP.shape[1], min(chunk, x_BTHP.shape[1])
    x_BCHQP, decay_BCHQ, b_BCQN, c_BCQN = (in_chunks(part, chunk) for part in (x_BTHP, log_decay_BTH, b_BTN, c_BTN))
    x_BCHQP, decay_BCHQ = x_BCHQP.transpose(2, 3), decay_BCHQ.transpose(2, 3)
    decays = Chunks.of(segments_in_chunks(segment_BT, chunk), chunk).decays(decay_BCHQ)
    scores_BC1QS = (c_BCQN @ b_BCQN.transpose(-1, -2))[:, :, None]
    y_BCHQP = (scores_BC1QS * decays.between_BCHQS) @ x_BCHQP
    added_BCHNP = b_BCQN.transpose(-1, -2)[:, :, None] @ (x_BCHQP * decays.until_BCHQ[..., None])
    if state_BHNP is None:
        state_BHNP = torch.zeros_like(added_BCHNP[:, 0])
    entering = []
    for number in range(added_BCHNP.shape[1]):
        entering.append(state_BHNP)
        state_BHNP = state_BHNP * decays.whole_BCH[:, number, :, None, None] + added_BCHNP[:, number]
    since_BCHQP = decays.since_BCHQ[..., None] * (c_BCQN[:, :, None] @ torch.stack(entering, dim=1))
    return (y_BCHQP + since_BCHQP).transpose(2, 3).flatten(1, 2)[:, :time], state_BHNP
