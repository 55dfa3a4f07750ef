"""Counts where the host would wait for a device, on a machine that has none.

A tensor is marked if it would lie on the device: weights, what is sent there, and whatever is computed from marked ones. The host waits
where it reads a marked tensor (`item`, `tolist`, `bool`, a copy to the CPU), where the size of a result depends on its numbers, where it
sends numbers to the device otherwise than asynchronously, and where DeepSpeed asks the accelerator to synchronize. An asynchronous copy
into memory of the host is counted apart: it is read a step later. What the loader's threads do is not seen; give it none.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

SIZED_BY_NUMBERS = {"nonzero", "masked_select", "unique_consecutive", "_unique2", "unique_dim", "bincount", "repeat_interleave"}
READS = {"_local_scalar_dense", "is_nonzero", "equal"}
TO_HOST = {Tensor.tolist: "tolist", Tensor.cpu: "cpu", Tensor.numpy: "numpy"}
FOLDERS = ("/model/", "/deepspeed/", "/torch/optim/", "/torch/nn/utils/")


class Synchronizations(TorchFunctionMode):
    """Inside, `waits` counts waits by what was called and the line that called it, `fetches` the asynchronous copies to the host."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = Counter[str]()
        self.fetches = 0
        self._marked = WeakValueDictionary[int, torch.UntypedStorage]()
        self._held: list[torch.UntypedStorage] = []
        self._operations = _Operations(self)

    def __enter__(self) -> Synchronizations:
        super().__enter__()  # type: ignore[no-untyped-call]  # torch's modes have no types
        self._operations.__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        self._operations.__exit__(*error)  # type: ignore[no-untyped-call]
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    def mark(self, tensors: Iterable[Any], *, hold: bool = False) -> None:
        """Treat these as the device's; `hold`: for as long as this counts."""
        for tensor in tensors:
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self._marked[storage._cdata] = storage
                self._held.extend([storage] if hold else [])

    def on_device(self, tensor: Any) -> bool:
        """Whether this is a tensor that would lie on the device."""
        return isinstance(tensor, Tensor) and tensor.untyped_storage()._cdata in self._marked

    def wait(self, what: str) -> None:
        """Count a wait."""
        self.waits[f"{what} at {_caller()}"] += 1

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in TO_HOST and self.on_device(args[0]):
            self.wait(TO_HOST[func])
        sends = func is Tensor.to and not isinstance(args[0], FakeTensor) and "/model/" in _caller(whole=True)
        if sends and self.on_device(args[0]):
            if "cpu" in args[1:] and not kwargs.get("non_blocking"):
                self.wait("to the CPU")
            sends = False
        out = func(*args, **kwargs)
        if sends or (func is torch.tensor and kwargs.get("device") is not None):
            if not kwargs.get("non_blocking"):
                self.wait(f"{func.__name__} to the device")
            self.mark([out])
        return out


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Marks what is computed from marked tensors."""

    def __init__(self, counter: Synchronizations) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._counter = counter

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs, counter, name = kwargs or {}, self._counter, func.overloadpacket.__name__
        if not any(map(counter.on_device, tree_leaves((args, kwargs)))):
            return func(*args, **kwargs)
        if name in READS or name in SIZED_BY_NUMBERS:
            counter.wait(name)
        if name.startswith("index") and isinstance(args[1], (list, tuple)) and any(_is_mask(index) for index in args[1]):
            counter.wait(f"{name} by a mask")
        fetches = name == "copy_" and not counter.on_device(args[0]) and "transfers.py" in _caller()
        out = func(*args, **kwargs)
        if fetches:
            counter.fetches += 1
        else:
            counter.mark(tree_leaves(out))
        return out


def _is_mask(index: Any) -> bool:
    return isinstance(index, Tensor) and index.dtype == torch.bool


def _caller(*, whole: bool = False) -> str:
    """The innermost line of the trainer, of DeepSpeed or of an optimizer."""
    for frame, line in traceback.walk_stack(None):
        path = frame.f_code.co_filename
        if any(folder in path for folder in FOLDERS) and "/tests/" not in path:
            return path if whole else f"{path.rpartition('/')[2]}:{line}"
    return "elsewhere"
