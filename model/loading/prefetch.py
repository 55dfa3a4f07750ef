"""Results that are wanted one after the other, made by threads while the one before is used.

Guarantee: `get` gives what `make` gives, whatever was made ahead; an error in `make` is raised by the `get` that wants its result.
Cost: as many results in memory as there are threads, beside the one in use. What was made ahead and not wanted is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Key = TypeVar("Key")
Result = TypeVar("Result")


class Ahead(Generic[Key, Result]):
    """`make`, begun early. Without threads it is called when it is wanted."""

    def __init__(self, make: Callable[[Key], Result], threads: int) -> None:
        self._make, self._waiting = make, dict[Key, Future[Result]]()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="loader") if threads else None

    def get(self, key: Key, coming: Iterable[Key]) -> Result:
        """The result for `key`; those for the `coming` keys are begun."""
        if self._pool is None:
            return self._make(key)
        wanted = [key, *coming]
        for stale in self._waiting.keys() - set(wanted):
            self._waiting.pop(stale).cancel()
        for one in wanted:
            if one not in self._waiting:
                self._waiting[one] = self._pool.submit(self._make, one)
        return self._waiting.pop(key).result()
