"""Prefetching: threads compute the coming results while the current one is used.

Guarantee: `get` returns what `compute` returns, whatever was prefetched; an error in `compute` is raised by the `get` for that key.
Cost: as many results in memory as there are threads, besides the one in use. Unused prefetched results are dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Key = TypeVar("Key")
Result = TypeVar("Result")


class Prefetcher(Generic[Key, Result]):
    """Calls `compute` ahead of time in `threads` threads; without threads, on demand."""

    def __init__(self, compute: Callable[[Key], Result], threads: int) -> None:
        self._compute, self._pending = compute, dict[Key, Future[Result]]()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="loader") if threads else None

    def get(self, key: Key, upcoming: Iterable[Key]) -> Result:
        """Return the result for `key`, and start computing those for the `upcoming` keys."""
        if self._pool is None:
            return self._compute(key)
        wanted = [key, *upcoming]
        for stale in self._pending.keys() - set(wanted):
            self._pending.pop(stale).cancel()
        for one in wanted:
            if one not in self._pending:
                self._pending[one] = self._pool.submit(self._compute, one)
        return self._pending.pop(key).result()
