"""How many threads torch computes with, and how they wait for each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from model.hardware.waiting import watch


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Run torch with this many threads inside the context."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    watch()
    try:
        yield
    finally:
        torch.set_num_threads(before)
