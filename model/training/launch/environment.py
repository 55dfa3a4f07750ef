"""What the environment of a worker says about threads and memory, besides its place among the workers."""

from __future__ import annotations

import os

from model.hardware.waiting import CHOSEN

TUNABLES = "GLIBC_TUNABLES"
ALLOCATOR = "glibc.malloc."
# No block of its own for a large tensor, nothing returned before the end, large pages.
KEPT = {"mmap_max": 0, "trim_threshold": 2**40, "hugetlb": 1}


def worker_environment() -> dict[str, str]:
    """Return how threads wait, by the user's choice, and how glibc treats freed memory, unless the user chose."""
    return {**_waiting(), **_memory()}


def _waiting() -> dict[str, str]:
    """Return the user's choice of what threads do while they wait for others' part of a product; workers elsewhere follow it too.

    Otherwise each worker chooses by the load of its machine, and again as it runs (`model/hardware/waiting.py`).
    """
    return {name: os.environ[name] for name in CHOSEN if name in os.environ}


def _memory() -> dict[str, str]:
    """Return settings of glibc's allocator by which a worker keeps the memory that it has freed; other C libraries ignore them.

    By default glibc returns a large tensor's memory to the system, which gives it back page by page, wiped: every step of a CPU pays
    for its activations and logits anew. A worker makes the same tensors in every step, so it needs no more memory for keeping them.
    """
    own = os.environ.get(TUNABLES, "")
    if ALLOCATOR in own:
        return {TUNABLES: own}
    return {TUNABLES: ":".join(filter(None, (own, *(f"{ALLOCATOR}{name}={value}" for name, value in KEPT.items()))))}
