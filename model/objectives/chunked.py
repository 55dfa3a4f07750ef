"""Sum functions of the logits over targets without computing all logits at once.

Logits take 4 bytes for each target and token of the vocabulary, and training holds them several times over: of 32 rows of 1,024 tokens
and a vocabulary of 50,304, 6.6 GB each time. Here they are computed for as many targets at once as fit into `LOGITS_BYTES`, and so
is what their gradients need. Where all fit at once, plain autograd is used.

Guarantee: the same sums and gradients up to rounding. `sums` and `each` are to make fp32 of the logits that they are given; sums and
gradients of weights are added up in fp32.
Cost: `summed` none but the gradient of the head's weights, once more, until the backward pass; `of_each` computes the logits a second time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from model.networks.network import Network

# A CPU computes faster what stays near its caches; an accelerator wants products large enough to fill it, and gradients of the head's
# weights, which each chunk adds to, written seldom.
LOGITS_BYTES = {"cpu": 2**26, "cuda": 2**30}
FP32 = 4

Sums = Callable[[Tensor, Tensor], Tensor]  # (logits_NV, targets_N) -> sums over the targets [sums]
Each = Callable[[Tensor, Tensor], Tensor]  # (logits_NV, targets_N) -> a number of each target [N]


def chunk_rows(device_type: str, vocab_size: int) -> int:
    """Return how many targets' logits are computed at once."""
    return max(1, LOGITS_BYTES.get(device_type, LOGITS_BYTES["cuda"]) // (FP32 * vocab_size))


def summed(network: Network, x_ND: Tensor, targets_N: Tensor, sums: Sums) -> Tensor:
    """Return the `sums` over all targets of what the head reads of x_ND, fp32 [sums]; only the first can be differentiated."""
    return _read(network, x_ND, targets_N, sums, _added, _Summed)


def of_each(network: Network, x_ND: Tensor, targets_N: Tensor, each: Each) -> Tensor:
    """Return `each` of all targets, from what the head reads of x_ND; [N]."""
    return _read(network, x_ND, targets_N, each, torch.cat, _OfEach)


@torch.no_grad()
def tokenwise_kl(network: Network, x_ND: Tensor, other: Network, y_ND: Tensor) -> Tensor:
    """Return KL(network || other) of the token that each expects next, after each x and y; fp32 [N]."""
    rows = max(1, chunk_rows(x_ND.device.type, network.vocab_size) // 2)
    found = []
    for x, y in zip(torch.split(x_ND, rows), torch.split(y_ND, rows), strict=True):
        own_NV, others_NV = network.read(x).float().log_softmax(dim=-1), other.read(y).float().log_softmax(dim=-1)
        found.append((own_NV.exp() * (own_NV - others_NV)).sum(dim=-1))
    return torch.cat(found)


def _read(
    network: Network, x_ND: Tensor, targets_N: Tensor, of: Sums, joined: Callable[[list[Tensor]], Tensor], differentiated: Any
) -> Tensor:
    """Return what `of` makes of the logits: at once where all fit, else of one chunk after the other, `joined`."""
    of = compiled(of) if network.compiled else of
    rows = chunk_rows(x_ND.device.type, network.vocab_size)
    if len(x_ND) <= rows:
        return of(network.read(x_ND), targets_N)
    if not torch.is_grad_enabled():
        return joined([of(network.read(x), targets) for x, targets in _chunks(x_ND, targets_N, rows)])
    found: Tensor = differentiated.apply(network, of, rows, targets_N, x_ND, *network.read_weights())
    return found


@lru_cache(maxsize=32)
def compiled(of: Sums) -> Sums:
    """Return what does the same in kernels that read the logits fewer times."""
    return torch.compile(of)


def _added(parts: list[Tensor]) -> Tensor:
    return torch.stack(parts).sum(dim=0)


def _chunks(x_ND: Tensor, targets_N: Tensor, rows: int) -> list[tuple[Tensor, Tensor]]:
    return list(zip(torch.split(x_ND, rows), torch.split(targets_N, rows), strict=True))


class _Gradients:
    """The gradients of a head's input and weights, added up over chunks."""

    def __init__(self, x_ND: Tensor, weights: tuple[Tensor, ...], wanted: tuple[bool, ...]) -> None:
        first, *rest = wanted
        self.x_ND = torch.empty_like(x_ND) if first else None
        self._asked = [weight for weight, asked in zip(weights, rest, strict=True) if asked]
        self._weights = [torch.zeros_like(weight) for weight in self._asked]
        self._which = rest
        self._done = 0

    def add(self, number: Tensor, x: Tensor, outside: Tensor | None = None) -> None:
        """Add the gradients of a chunk's `number`; `x`: the chunk of the input that it was computed from."""
        inputs = [*([x] if self.x_ND is not None else []), *self._asked]
        found = list(torch.autograd.grad(number, inputs, outside))
        if self.x_ND is not None:
            self.x_ND[self._done : self._done + len(x)] = found.pop(0)
        for total, part in zip(self._weights, found, strict=True):
            total += part
        self._done += len(x)

    def scaled(self, factor: Tensor | None = None) -> tuple[Tensor | None, ...]:
        """Return the gradients in the order of the inputs, times `factor`; to be called once."""
        if factor is not None:
            for gradient in (*self._weights, *([self.x_ND] if self.x_ND is not None else [])):
                gradient.mul_(factor)
        given = iter(self._weights)
        return (self.x_ND, *(next(given) if asked else None for asked in self._which))


class _Summed(torch.autograd.Function):
    """Gradients are computed with the sums: they are known up to the factor that the backward pass brings."""

    @staticmethod
    def forward(ctx: Any, network: Network, sums: Sums, rows: int, targets_N: Tensor, x_ND: Tensor, *weights: Tensor) -> Tensor:
        gradients, total = _Gradients(x_ND, weights, ctx.needs_input_grad[4:]), list[Tensor]()
        for x, targets in _chunks(x_ND, targets_N, rows):
            with torch.enable_grad():
                x = x.detach().requires_grad_(ctx.needs_input_grad[4])
                part = sums(network.read(x), targets)
                gradients.add(part[0], x)
            total.append(part.detach())
        ctx.gradients = gradients
        return _added(total)

    @staticmethod
    def backward(ctx: Any, *outside: Tensor) -> Any:
        gradients, ctx.gradients = ctx.gradients, None
        return (None, None, None, None, *gradients.scaled(outside[0][0]))


class _OfEach(torch.autograd.Function):
    """The backward pass computes each chunk's logits again."""

    @staticmethod
    def forward(ctx: Any, network: Network, each: Each, rows: int, targets_N: Tensor, x_ND: Tensor, *weights: Tensor) -> Tensor:
        ctx.save_for_backward(x_ND, targets_N, *weights)
        ctx.network, ctx.each, ctx.rows = network, each, rows
        device = x_ND.device.type
        ctx.autocast = torch.autocast(device, torch.get_autocast_dtype(device), enabled=torch.is_autocast_enabled(device))
        return torch.cat([each(network.read(x), targets) for x, targets in _chunks(x_ND, targets_N, rows)])

    @staticmethod
    def backward(ctx: Any, *outside: Tensor) -> Any:
        x_ND, targets_N, *weights = ctx.saved_tensors
        gradients = _Gradients(x_ND, tuple(weights), ctx.needs_input_grad[4:])
        for (x, targets), given in zip(_chunks(x_ND, targets_N, ctx.rows), torch.split(outside[0], ctx.rows), strict=True):
            with torch.enable_grad(), ctx.autocast:
                x = x.detach().requires_grad_(ctx.needs_input_grad[4])
                gradients.add(ctx.each(ctx.network.read(x), targets), x, given)
        return (None, None, None, None, *gradients.scaled())
