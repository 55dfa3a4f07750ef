"""An error in one message for a person: what happened, to what, and the way out.

Guarantees: errors that folio raises itself are told as they are; others are told with what can be done about them; one that nobody thought
of is told by its type and first line, and where to see more.
"""

from __future__ import annotations

import errno

from flows.services import local as services

OURS = (ValueError, LookupError, OSError, RuntimeError)
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
AGAIN = "What was made is kept; give the same command again to go on."


def explain(error: Exception) -> str:
    """The message, and what was noted on it."""
    return " ".join(dict.fromkeys(_sentence(text) for text in (_words(error), *getattr(error, "__notes__", ()))))


def server_is_away(error: Exception) -> bool:
    """Whether it is Prefect's server that did not answer."""
    return type(error).__module__.partition(".")[0] in ("httpx", "httpcore") or type(error).__name__ == "ServerAway"


def _words(error: Exception) -> str:
    kind, text = type(error), str(error)
    library = kind.__module__.partition(".")[0]
    if isinstance(error, KeyError) and error.args:
        return str(error.args[0])  # a KeyError's text is its argument in quotes
    if server_is_away(error) and library != "tasks":
        url = services.prefect_server().url
        return f"The Prefect server at {url} went away ({kind.__name__}: {_line(text)}). {AGAIN} That starts it if need be"
    if library in ("duckdb", "_duckdb"):
        return f"DuckDB: {_line(text)}. {AGAIN}"
    if isinstance(error, OSError) and error.errno in FULL:
        return f"{text}. Free space or make it writable. {AGAIN}"
    if isinstance(error, OURS):
        return text or kind.__name__
    return f"{kind.__name__}: {_line(text)}. {AGAIN} To see where it happened, put --debug before the command"


def _line(text: str) -> str:
    return next((line.strip().rstrip(".") for line in text.splitlines() if line.strip()), "no reason given")


def _sentence(text: str) -> str:
    return text if text.rstrip().endswith((".", "!", "?", ":")) or "\n" in text else f"{text}."
