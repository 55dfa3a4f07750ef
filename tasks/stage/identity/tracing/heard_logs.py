"""Note whether anything but a person can read what our code logs: only then do the words of its messages count."""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Callable, Iterator

from tasks.stage.identity.tracing.execution_code import is_execution_module

ERRORS = "FOLIO_STANDARD_ERROR"
OPEN_TO_ALL = "*"  # the value of ERRORS where who started the process shows its errors to people alone


def note_logs(note: Callable[[], None], is_ours: Callable[[str], bool]) -> None:
    """Call `note` when something but standard error takes a message that our code logs, or when another program may read that."""
    here = _standard_error()
    shared = os.environ.setdefault(ERRORS, here) in (here, OPEN_TO_ALL)
    stream, factory, handle = sys.stderr, logging.getLogRecordFactory(), logging.Logger.handle

    def shows(handler: logging.Handler) -> bool:
        """Return whether a handler shows messages to people and does nothing else with them."""
        plain = type(handler) is logging.StreamHandler and handler.stream is stream
        return (plain or is_execution_module(type(handler).__module__)) and not handler.filters

    @functools.wraps(handle)
    def noting(self: logging.Logger, record: logging.LogRecord) -> None:
        plain = type(self) in (logging.Logger, logging.RootLogger) and logging.getLogRecordFactory() is factory
        heard = self.filters or not all(map(shows, _handlers(self))) or sys.stderr is not stream or not shared
        if is_ours(os.path.abspath(record.pathname)) and (heard or not plain):  # noqa: PTH100
            note()
        handle(self, record)

    logging.Logger.handle = noting  # type: ignore[method-assign]


def _handlers(logger: logging.Logger | None) -> Iterator[logging.Handler]:
    while logger is not None:
        yield from logger.handlers
        logger = logger.parent if logger.propagate else None


def _standard_error() -> str:
    try:
        found = os.fstat(2)
    except OSError:
        return ""
    return f"{found.st_dev}:{found.st_ino}"
