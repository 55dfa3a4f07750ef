"""Prefect's server, looked after before work begins: what nobody could see is not begun.

Guarantees: a server that is away for a moment is waited for; one that stays away ends the run with one message, after what was being made
has been committed. A run that reuses everything asks nothing.
It costs one request on loopback, about 3 ms a stage that works.
"""

from __future__ import annotations

import time
import urllib.request

from prefect.settings import PREFECT_API_URL

from tasks.stage.system.progress import log

PATIENCE_SECONDS = 20.0
ANSWER_SECONDS = 5.0


class ServerAway(RuntimeError):
    """Prefect's server does not answer."""


def require_server() -> None:
    """Wait until the server answers. Raises ServerAway when it doesn't for `PATIENCE_SECONDS`."""
    url = PREFECT_API_URL.value()
    if not url or _answers(url):
        return
    log(f"the Prefect server at {url} does not answer; waiting {PATIENCE_SECONDS:.0f} s for it")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        time.sleep(0.5)
        if _answers(url):
            return
    raise ServerAway(
        f"The Prefect server at {url} went away, so nothing more is begun. What was made is kept; give the same command again to go on: "
        "it starts the server, if that is this machine's own."
    )


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=ANSWER_SECONDS):
            return True
    except OSError:
        return False
