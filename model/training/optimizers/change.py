"""How far an update moved the weights: the norm of their change over their norm.

Measured only in the updates that are `watched`, because it copies the weights before them: at one update in fifty the cost is below
0.1 % of a run. Works on whole tensors and on ZeRO's slices; the squares are summed over all workers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed


class Change:
    """`ratio` is the last watched update's; None after one that was not watched, or that changed nothing."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.ratio: float | None = None
        self._before: dict[Tensor, Tensor] = {}
        self._squares: Tensor | None = None
        self._watching = False
        optimizer.register_step_pre_hook(self._remember)
        optimizer.register_step_post_hook(self._compare)

    @contextmanager
    def watched(self, watching: bool) -> Iterator[None]:
        """Measure the update made inside."""
        self.ratio, self._squares, self._watching = None, None, watching
        yield
        self._watching = False
        if not watching:
            return
        squares = self._squares if self._squares is not None else torch.zeros(2, dtype=torch.float64)
        if distributed.get_world_size() > 1:
            distributed.all_reduce(squares)
        change, weights = squares.tolist()
        ratio = (change / weights) ** 0.5 if weights else math.nan
        self.ratio = ratio if math.isfinite(ratio) else None

    def _remember(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if self._watching:
            self._before = {parameter: parameter.detach().clone() for group in optimizer.param_groups for parameter in group["params"]}

    @torch.no_grad()
    def _compare(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        for parameter, before in self._before.items():
            norms = (torch.linalg.vector_norm(tensor, dtype=torch.float64) for tensor in (parameter - before, before))
            squares = torch.stack([norm.square() for norm in norms])
            self._squares = squares if self._squares is None else self._squares + squares
        self._before = {}
