"""Copies between host and device for which the host does not wait, and how many threads torch computes with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.hardware.waiting import watch


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Run torch with this many threads inside the context."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    watch()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def upload(array: NDArray[Any], device: torch.device) -> Tensor:
    """Return the array as a tensor on the device. Computations on it wait for the copy; the host does not."""
    tensor = torch.from_numpy(np.asarray(array, order="C"))
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)


class Snapshot:
    """Copies of tensors as they are now, in memory of the host, complete once `wait` returns. What changes a tensor later comes after."""

    def __init__(self) -> None:
        self._copied: torch.cuda.Event | None = None

    def copy(self, tensor: Tensor, *, shared: bool) -> Tensor:
        """Begin to copy a tensor; one of the CPU is returned itself unless it is `shared` with what may change it."""
        if not tensor.is_cuda:
            return tensor.to("cpu", copy=shared)
        host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        host.copy_(tensor, non_blocking=True)
        self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._copied.record()
        return host

    def wait(self) -> None:
        """Wait for the copies."""
        if self._copied:
            self._copied.synchronize()


class Fetch:
    """Numbers on their way from the device to the host: the copy begins at once, and `read` waits for it."""

    def __init__(self, numbers: Tensor) -> None:
        """`numbers`: of one dimension."""
        self._host = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=numbers.is_cuda)
        self._host.copy_(numbers, non_blocking=True)
        self._copied = torch.cuda.Event() if numbers.is_cuda else None  # type: ignore[no-untyped-call]
        if self._copied:
            self._copied.record()

    def read(self) -> list[float]:
        """Return the numbers, once everything that was handed to the device before them is done."""
        if self._copied:
            self._copied.synchronize()
        numbers: list[float] = self._host.tolist()
        return numbers
