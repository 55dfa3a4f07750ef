"""The commands: one file for each group of them. They parse; `flows.cli` acts, and `flows.cli.views` words the result."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Pause the garbage collector in the block, for imports: what they define stays, and each collection looks at all of it."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
