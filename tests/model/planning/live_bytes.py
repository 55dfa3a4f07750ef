"""The most bytes that tensors hold at once, counted from their storages as they come and go; works on tensors without numbers."""

from __future__ import annotations

from typing import Any
from weakref import finalize, ref

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's modes have no types
    """Inside, `peak` is the most that `add`ed tensors and all results held at once, in blocks of 512 bytes as the CUDA allocator's."""

    BLOCK = 512

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._seen: dict[int, ref[torch.UntypedStorage]] = {}

    def add(self, tensors: Any) -> None:
        """Count the storages of tensors that are not counted yet, until they are freed."""
        for tensor in tree_leaves(tensors):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if (known := self._seen.get(storage._cdata)) is None or known() is not storage:
                    self._seen[storage._cdata] = ref(storage)
                    size = -(-storage.nbytes() // self.BLOCK) * self.BLOCK
                    self.now += size
                    finalize(storage, self._freed, size)
        self.peak = max(self.peak, self.now)

    def _freed(self, size: int) -> None:
        self.now -= size

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.add(out)
        return out
