"""Wait for Prefect's server before a stage starts, since a stage whose task can't be shown is not started.

A server that is away for a moment is waited for; one that stays away ends the run with one message, after what was being made has been
committed. A run that reuses everything asks nothing. The cost is one request on loopback, about 3 ms a stage that runs.
"""

from __future__ import annotations

import time
import urllib.request

from prefect.settings import PREFECT_API_URL

from tasks.stage.system.progress import log

PATIENCE_SECONDS = 20.0
ANSWER_SECONDS = 5.0


class ServerUnavailable(RuntimeError):
    """Prefect's server does not answer."""


def require_server() -> None:
    """Wait until the server answers. Raises ServerUnavailable when it doesn't within `PATIENCE_SECONDS`."""
    url = PREFECT_API_URL.value()
    if not url or _answers(url):
        return
    log(f"the Prefect server at {url} does not answer; waiting {PATIENCE_SECONDS:.0f} s for it")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        time.sleep(0.5)
        if _answers(url):
            return
    raise ServerUnavailable(
        f"The Prefect server at {url} stopped answering, so no further stage is started. What was made is kept; run the same command again "
        "to continue: it starts the server if it belongs to this machine."
    )


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=ANSWER_SECONDS):
            return True
    except OSError:
        return False
