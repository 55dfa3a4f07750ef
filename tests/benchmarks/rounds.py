"""The contestant's side of a contest: it trains when it is told to, and says what that took.

A contestant is a process that is ready (imported, warmed up) and then sleeps. It reads one line a round from its standard input, the
number of updates wanted, makes them, and answers with a line of JSON: `seconds` on the clock, `processor_seconds` of all its threads,
and `loss` if it knows it. At the end of its input it ends. So that contestants of different environments can take turns within seconds,
this file needs Python alone.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import NoReturn

WARM_UP = 2
"""Updates before the first round: allocation, caches, kernels chosen."""


class Rounds:
    """Whatever the libraries print goes to standard error from now on; standard output is for answers alone."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        self._began = self._worked = 0.0

    def ready(self, **facts: object) -> None:
        """Say so; `parameters` and `versions` are looked at."""
        self._answer(facts)

    def wait(self) -> int:
        """Sleep until a round is asked for, and give its number of updates. Ends the process when no more is wanted."""
        line = sys.stdin.readline()
        if not line.strip():
            self._end()
        self._began, self._worked = time.perf_counter(), time.process_time()
        return int(line)

    def done(self, **facts: object) -> None:
        """The round is over."""
        took = {"seconds": time.perf_counter() - self._began, "processor_seconds": time.process_time() - self._worked}
        self._answer(took | facts)

    def _answer(self, facts: dict[str, object]) -> None:
        self._answers.write(json.dumps(facts) + "\n")
        self._answers.flush()

    def _end(self) -> NoReturn:
        # Without unwinding: threads of the collective libraries outlive the interpreter and would abort it.
        sys.stderr.flush()
        os._exit(0)
