"""A time limit over many calls of foreign code, each of which may wait longer than the limit leaves."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


class TimeIsUp(Exception):
    """The deadline has passed."""


class Deadline:
    """`seconds` from now."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Return the seconds that are left. Raise TimeIsUp if none are."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeIsUp
        return left

    def call(self, work: Callable[[], T]) -> T:
        """Return what `work` returns or raise what it raises. Raise TimeIsUp at the deadline; the call is then left to end by itself."""
        left = self.remaining()
        answer: Future[T] = Future()
        # A daemon, since a thread that still waits for a server must not keep the process alive.
        Thread(target=_settle, args=(answer, work), daemon=True).start()
        try:
            return answer.result(left)
        except TimeoutError as error:
            # A driver's own TimeoutError is an answer.
            if answer.done():
                raise
            raise TimeIsUp from error


def _settle(answer: Future[T], work: Callable[[], T]) -> None:
    try:
        answer.set_result(work())
    except BaseException as error:  # noqa: BLE001  # the caller's, whatever it is
        answer.set_exception(error)
