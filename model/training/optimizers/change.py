"""The relative size of an update: the norm of the weights' change over the norm of the weights.

It is measured only for `watched` updates, because it copies the weights before them: at one update in fifty it costs below 0.1 % of a run.
It works on whole tensors and on ZeRO's flat partitions; the squares are summed over all workers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed


class UpdateRatio:
    """`ratio` belongs to the last update, fp64 on the device; None if that was not watched. It is not finite if there are no weights.

    `squares`: of the change and of the weights before it, on this worker's device; inside `watched` still without those of other workers.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, device: torch.device) -> None:
        """`device`: this worker's. NCCL takes no CPU tensors, and offloaded weights are CPU tensors."""
        self.ratio: Tensor | None = None
        self._before: dict[Tensor, Tensor] = {}
        self._device = device
        self.squares = torch.zeros(2, dtype=torch.float64, device=device)
        self._watching = False
        optimizer.register_step_pre_hook(self._copy_weights)
        optimizer.register_step_post_hook(self._compare)

    @contextmanager
    def watched(self, watching: bool) -> Iterator[None]:
        """Measure the update made inside, if `watching`."""
        self.ratio, self._watching = None, watching
        self.squares = torch.zeros(2, dtype=torch.float64, device=self._device)
        yield
        self._watching = False
        if not watching:
            return
        if distributed.get_world_size() > 1:
            distributed.all_reduce(self.squares)
        change, weights = self.squares.unbind()
        self.ratio = (change / weights).sqrt()

    def _copy_weights(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if self._watching:
            self._before = {parameter: parameter.detach().clone() for group in optimizer.param_groups for parameter in group["params"]}

    @torch.no_grad()
    def _compare(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        for parameter, before in self._before.items():
            norms = (torch.linalg.vector_norm(tensor, dtype=torch.float64) for tensor in (parameter - before, before))
            self.squares += torch.stack([norm.square() for norm in norms]).to(self._device)
        self._before = {}
