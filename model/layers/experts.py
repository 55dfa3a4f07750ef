"""A mixture of experts: of many feed-forwards a router chooses a few for each token, whose outputs are added by weight.

Guarantee, on a CPU: a token's output does not depend on which other tokens are in the batch, bit by bit, unless `capacity` drops some.
A matrix product sums in an order that follows from the number of its rows, and how many tokens an expert gets depends on all of them; so
an expert's tokens are multiplied in tiles of `TILE` rows, the last one filled with zeros.
Every expert computes at least one tile, so that all workers call the same layers in the same order, as ZeRO needs, and have a gradient of
each weight. The router computes in fp32 under autocast, too, since rounding would change choices.
Cost: as feed-forwards of the experts that a token uses, half a tile more for each expert, and a copy of each token for each of its experts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn import functional

from model.layers.config import BiasBalance, ExpertsConfig

TILE = 64  # rows of a product: enough to keep a processor busy, few enough that a tile half empty costs little


class TiledLinear(nn.Linear):
    """x_MQI -> x_MQO: a linear layer, one product for each of M tiles."""

    def forward(self, x_MQI: Tensor) -> Tensor:
        weight_OI, device = self.weight, x_MQI.device.type
        if torch.is_autocast_enabled(device):
            rounded = torch.get_autocast_dtype(device)
            x_MQI, weight_OI = x_MQI.to(rounded), weight_OI.to(rounded)
        out_MQO: Tensor = _Tiles.apply(x_MQI, weight_OI)  # type: ignore[no-untyped-call]
        return out_MQO if self.bias is None else out_MQO + self.bias.to(out_MQO.dtype)


class _Tiles(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_MQI: Tensor, weight_OI: Tensor) -> Tensor:
        ctx.save_for_backward(x_MQI, weight_OI)
        return _tile_by_tile(x_MQI, weight_OI.t())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        (gradient_MQO,), (x_MQI, weight_OI) = gradients, ctx.saved_tensors
        return _tile_by_tile(gradient_MQO, weight_OI), gradient_MQO.flatten(0, 1).t() @ x_MQI.flatten(0, 1)


def _tile_by_tile(x_MQI: Tensor, weight_IO: Tensor) -> Tensor:
    if x_MQI.is_cuda:  # many small kernels would starve a card, whose products of a batch are alike in practice
        return x_MQI @ weight_IO
    return torch.stack([x_QI.mm(weight_IO) for x_QI in x_MQI])


class Router(nn.Module):
    """x_ND -> logits_NE, in fp32. Names are those of DeepSeek-V3."""

    e_score_correction_bias: Tensor | None

    def __init__(self, settings: ExpertsConfig, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(settings.count, width))
        self.register_buffer("e_score_correction_bias", torch.zeros(settings.count) if settings.balance.kind == "bias" else None)

    def forward(self, x_ND: Tensor) -> Tensor:
        with torch.autocast(x_ND.device.type, enabled=False):
            return functional.linear(x_ND.float(), self.weight.float())


class Choice(NamedTuple):
    """Of each token: the score of each expert, 0 to 1, the experts chosen, and the weight of each of these."""

    scores_NE: Tensor
    chosen_NK: Tensor
    weights_NK: Tensor


def choose(settings: ExpertsConfig, logits_NE: Tensor, bias_E: Tensor | None) -> Choice:
    """Choose the experts with the best scores. A bias decides who is chosen, and never what that one weighs."""
    scores_NE = logits_NE.sigmoid() if settings.score == "sigmoid" else logits_NE.softmax(dim=-1)
    ranked_NE = scores_NE.detach() if bias_E is None else scores_NE.detach() + bias_E
    chosen_NK = ranked_NE.topk(settings.active, dim=-1).indices
    weights_NK = scores_NE.gather(1, chosen_NK)
    if settings.normalize:
        weights_NK = weights_NK / (weights_NK.sum(dim=-1, keepdim=True) + 1e-20)
    return Choice(scores_NE, chosen_NK, weights_NK * settings.scale)


class Noted(NamedTuple):
    """Of one layer and pass: sums over sequences of both losses, and how many tokens chose each expert, then how many were dropped."""

    balance: Tensor
    router_loss: Tensor
    counts_F: Tensor


class Routing:
    """Notes of the mixtures of experts in one forward pass. counted_BT: which tokens are no padding.

    Blocks that are computed again in the backward pass note the same again, in the same place.
    """

    def __init__(self, counted_BT: Tensor) -> None:
        self.counted_BT = counted_BT
        self._noted: dict[nn.Module, Noted] = {}

    def note(self, layer: nn.Module, logits_NE: Tensor, scores_NE: Tensor, chosen_NK: Tensor, dropped_NK: Tensor | None) -> None:
        """Note the choices of a layer for all tokens of the pass."""
        rows, time = self.counted_BT.shape
        counted_BT1 = self.counted_BT[..., None].to(scores_NE.dtype)
        total_B1 = counted_BT1.sum(dim=1).clamp(min=1)
        shares_NE = scores_NE / scores_NE.sum(dim=-1, keepdim=True)
        used_NE = torch.zeros_like(scores_NE).scatter_(1, chosen_NK, 1.0)
        used_BTE, shares_BTE = (part_NE.view(rows, time, -1) * counted_BT1 for part_NE in (used_NE, shares_NE))
        used_BE, shares_BE = used_BTE.sum(dim=1) / total_B1, shares_BTE.sum(dim=1) / total_B1
        experts, active = scores_NE.shape[1], chosen_NK.shape[1]
        size_BT = logits_NE.logsumexp(dim=-1).square().view(rows, time) * self.counted_BT
        counts_E = used_BTE.detach().sum(dim=(0, 1), dtype=torch.float64)
        lost = counts_E.new_zeros(1)
        if dropped_NK is not None:
            lost = (dropped_NK & self.counted_BT.reshape(-1, 1)).sum(dtype=torch.float64)[None]
        self._noted[layer] = Noted(
            (used_BE * shares_BE).sum() * experts / active, (size_BT.sum(dim=1) / total_B1[:, 0]).sum(), torch.cat((counts_E, lost))
        )

    def losses(self) -> Tensor:
        """Return the sums over sequences of the balance loss and of the router's, each the mean over layers, [2]."""
        return torch.stack([torch.stack([one.balance, one.router_loss]) for one in self._noted.values()]).mean(dim=0)

    def counts(self) -> Tensor:
        """Return counts_LF: how many tokens chose each expert of each layer, then how many of these choices were dropped; fp64."""
        return torch.stack([one.counts_F for one in self._noted.values()])


class Experts(nn.Module):
    """x_BTD -> x_BTD through the experts that each token chooses, and those that all share."""

    def __init__(self, settings: ExpertsConfig, width: int, experts: Sequence[nn.Module], shared: nn.Module | None) -> None:
        super().__init__()
        self.settings = settings
        self.gate = Router(settings, width)
        self.experts = nn.ModuleList(experts)
        self.shared_experts = shared

    def forward(self, x_BTD: Tensor, routing: Routing | None = None) -> Tensor:
        x_ND = x_BTD.flatten(0, -2)
        logits_NE = self.gate(x_ND)
        scores_NE, chosen_NK, weights_NK = choose(self.settings, logits_NE, self.gate.e_score_correction_bias)
        dropped_NK = self._beyond(chosen_NK, x_BTD.shape[1]) if self.settings.capacity and self.training else None
        if routing is not None:
            routing.note(self, logits_NE, scores_NE, chosen_NK, dropped_NK)
        if dropped_NK is not None:
            chosen_NK = chosen_NK.masked_fill(dropped_NK, len(self.experts))
        y_BTD = self._added(x_ND, chosen_NK, weights_NK).view(x_BTD.shape)
        if self.shared_experts is not None:
            y_BTD = y_BTD + self.shared_experts(x_BTD)
        return y_BTD

    def _beyond(self, chosen_NK: Tensor, time: int) -> Tensor:
        """Return which choices come after those that an expert has room for in their row; earlier tokens never depend on later ones."""
        experts, (_, active) = len(self.experts), chosen_NK.shape
        room = max(1, round(self.settings.capacity * time * active / experts))
        used_BXE = functional.one_hot(chosen_NK.view(-1, time * active), experts)
        place_BX = (used_BXE.cumsum(dim=1) * used_BXE).sum(dim=-1)
        return (place_BX > room).view_as(chosen_NK)

    def _added(self, x_ND: Tensor, chosen_NK: Tensor, weights_NK: Tensor) -> Tensor:
        """Return the weighted sums of what the chosen experts make of each token. `len(experts)` stands for none."""
        active = chosen_NK.shape[1]
        # Copies first, then permutations: no index occurs twice, so no order of additions is left open.
        order_X = chosen_NK.flatten().argsort(stable=True)
        x_XD = x_ND.repeat_interleave(active, dim=0).index_select(0, order_X)
        *parts, rest_XD = torch.split(x_XD, self._sizes(chosen_NK))
        done = [self._through(expert, part) for expert, part in zip(self.experts, parts, strict=True)]
        y_XD = torch.cat([*done, torch.zeros_like(rest_XD, dtype=done[0].dtype)])
        y_NKD = y_XD.index_select(0, order_X.argsort()).view(*chosen_NK.shape, -1)
        return (y_NKD * weights_NK[..., None]).sum(dim=1)

    def _sizes(self, chosen_NK: Tensor) -> list[int]:
        """Return how many choices fall on each expert, and on none; tensors without data, of which sizes are asked, are divided evenly."""
        experts, choices = len(self.experts), chosen_NK.numel()
        if isinstance(chosen_NK, FakeTensor):
            return [choices * (number + 1) // experts - choices * number // experts for number in range(experts)] + [0]
        sizes: list[int] = torch.bincount(chosen_NK.flatten(), minlength=experts + 1).tolist()
        return sizes

    @staticmethod
    def _through(expert: nn.Module, x_XD: Tensor) -> Tensor:
        rows, width = x_XD.shape
        if isinstance(x_XD, FakeTensor):
            whole_XD: Tensor = expert(x_XD[None])[0]
            return whole_XD
        missing = max(TILE, -(-rows // TILE) * TILE) - rows
        y_MQD: Tensor = expert(functional.pad(x_XD, (0, 0, 0, missing)).view(-1, TILE, width))
        return y_MQD.flatten(0, 1)[:rows]


@torch.no_grad()
def rebalance(network: nn.Module, counts_LF: Tensor) -> Mapping[str, Tensor]:
    """Move the biases of all layers by the counts of a whole step (see `Routing.counts`); return what the step log says of its use.

    expert_most, expert_least: of any layer, the tokens of the expert that is used most and least, as a multiple of an even share.
    expert_dropped: the share of choices that found no room.
    """
    counts_LE, dropped_L = counts_LF[:, :-1], counts_LF[:, -1]
    even_L1 = counts_LE.mean(dim=1, keepdim=True)
    layers = [module for module in network.modules() if isinstance(module, Experts)]
    for layer, lacking_E in zip(layers, even_L1 - counts_LE, strict=True):
        balance, bias_E = layer.settings.balance, layer.gate.e_score_correction_bias
        if isinstance(balance, BiasBalance) and bias_E is not None:
            bias_E += balance.rate * lacking_E.sign().to(bias_E)
    use_LE = counts_LE / even_L1.clamp(min=1e-9)
    return {"expert_most": use_LE.max(), "expert_least": use_LE.min(), "expert_dropped": dropped_L.sum() / counts_LE.sum().clamp(min=1)}
