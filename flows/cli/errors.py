"""An error as one message for a person: what happened, to what, and what to do.

Errors that folio raises itself are shown as they are; known errors of libraries come with advice; any other is shown by its type and
first line, with how to see more.
"""

from __future__ import annotations

import errno

from flows.services import servers

OURS = (ValueError, LookupError, OSError, RuntimeError)
CANNOT_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
RETRY = "What was made is kept; give the same command again to go on."


def explain(error: Exception) -> str:
    """Return the message of an error, followed by its notes."""
    return " ".join(dict.fromkeys(_sentence(text) for text in (_message(error), *getattr(error, "__notes__", ()))))


def is_server_away(error: Exception) -> bool:
    """Return whether an error means that Prefect's server did not answer."""
    return type(error).__module__.partition(".")[0] in ("httpx", "httpcore")


def _message(error: Exception) -> str:
    kind, text = type(error), str(error)
    library = kind.__module__.partition(".")[0]
    if isinstance(error, KeyError) and error.args:
        return str(error.args[0])  # str(KeyError) would put it in quotes
    if is_server_away(error):
        url = servers.prefect_server().url
        return f"The Prefect server at {url} went away ({kind.__name__}: {_first_line(text)}). {RETRY} That restarts it if need be"
    if library in ("duckdb", "_duckdb"):
        return f"DuckDB: {_first_line(text)}. {RETRY}"
    if isinstance(error, OSError) and error.errno in CANNOT_WRITE:
        return f"{text}. Free space, or make it writable. {RETRY}"
    if isinstance(error, OURS):
        return text or kind.__name__
    return f"{kind.__name__}: {_first_line(text)}. {RETRY} To see where it happened: folio --debug ..."


def _first_line(text: str) -> str:
    return next((line.strip().rstrip(".") for line in text.splitlines() if line.strip()), "no reason given")


def _sentence(text: str) -> str:
    return text if text.rstrip().endswith((".", "!", "?", ":")) or "\n" in text else f"{text}."
