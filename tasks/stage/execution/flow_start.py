"""Begin a flow although the database of Prefect's server is busy.

On SQLite the server refuses a new flow run, with status 503, where another client has written since its transaction first read, and after a
few tries its client gives up. Nothing has begun by then, so the flow is begun again, soon and at a random moment: several that were refused
together would else meet again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from prefect.exceptions import PrefectHTTPStatusError

BUSY, BUSY_SECONDS = 503, 60.0
SOONEST, LATEST = 0.05, 0.5
"""Seconds until the next try."""

Result = TypeVar("Result")


def begin_flow(flow: Callable[[], Result], begun: Callable[[], bool]) -> Result:
    """Return what a flow returns. `begun`: whether its body was entered, after which its errors are its own.

    Raises what the flow raises, and PrefectHTTPStatusError if the server refuses it for BUSY_SECONDS.
    """
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return flow()
        except PrefectHTTPStatusError as error:
            if error.response.status_code != BUSY or begun() or time.monotonic() >= until:
                raise
            time.sleep(random.uniform(SOONEST, LATEST))
