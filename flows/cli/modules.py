"""Load modules without looking for garbage among what they define."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Pause the garbage collector in the block, for imports: they make a million objects that stay, and each collection looks at all."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
