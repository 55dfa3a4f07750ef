"""Turn an error into one message for a person: what happened, to what, and what to do.

Errors that folio raises itself are shown as they are; known errors of libraries come with advice, and a full disk is named; any other is
shown by its type and first line, with how to see more. The terminal, the journal and the report use the same words.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

from tasks.stage.system.command_line import program, this_command

OURS = (ValueError, LookupError, OSError, RuntimeError)
FULL = {errno.ENOSPC, errno.EDQUOT}
CANNOT_WRITE = {errno.EROFS, errno.EACCES, errno.EPERM}
# What a full disk is called by libraries that hide its number.
SAYS_FULL = ("No space left on device", "database or disk is full", "Disk quota exceeded", "disk is full")
RETRY = "Finished work is kept; run the same command again to continue."


def explain(error: BaseException) -> str:
    """Return the message of an error, followed by its notes."""
    return " ".join(dict.fromkeys(_sentence(text) for text in (_message(error), *getattr(error, "__notes__", ()))))


def is_server_away(error: BaseException) -> bool:
    """Return whether an error means that Prefect's server did not answer."""
    return type(error).__module__.partition(".")[0] in ("httpx", "httpcore")


def _message(error: BaseException) -> str:
    kind, text = type(error), str(error)
    library = kind.__module__.partition(".")[0]
    if isinstance(error, KeyError) and error.args:
        return str(error.args[0])  # str(KeyError) would put it in quotes
    if is_server_away(error):
        url = os.environ.get("PREFECT_API_URL", "its address").removesuffix("/api")
        return f"The Prefect server at {url} went away ({kind.__name__}: {_first_line(text)}). {RETRY} That restarts it if need be"
    if _is_full(error):
        return f"{_first_line(text)}. {_fullest_disk(error)} Free space there. {RETRY}"
    if library in ("duckdb", "_duckdb"):
        return f"DuckDB: {_first_line(text)}. {RETRY}"
    if isinstance(error, OSError) and error.errno in CANNOT_WRITE:
        return f"{text}. Its owner, its mode or its disk forbids that; change it, or name another folder. {RETRY}"
    if isinstance(error, OURS):
        return text or kind.__name__
    return f"{kind.__name__}: {_first_line(text)}. {RETRY} To see where it happened: {this_command('--debug')}"


def _is_full(error: BaseException) -> bool:
    if "bytes are free" in str(error):
        return False  # it names the disk itself
    known = isinstance(error, OSError) and error.errno in FULL
    return known or any(words in f"{error} {error.__cause__ or ''}" for words in SAYS_FULL)


def _fullest_disk(error: BaseException) -> str:
    """Name the disk of the file that could not be written; without one, that with the least room of those that a run writes to."""
    names = [name for one in (error, error.__cause__) if isinstance(name := getattr(one, "filename", None), str)]
    places = [Path(names[0])] if names else [Path(os.environ.get("FOLIO_HOME", ".")), Path(tempfile.gettempdir())]
    folders = [next(parent for parent in (place.absolute(), *place.absolute().parents) if parent.is_dir()) for place in places]
    folder, room = min(((folder, shutil.disk_usage(folder)) for folder in folders), key=lambda found: found[1].free)
    return f"The disk of {folder} has {room.free / 1e6:,.0f} MB free of {room.total / 1e9:,.3g} GB."


def _first_line(text: str) -> str:
    return next((line.strip().rstrip(".") for line in text.splitlines() if line.strip()), "no reason given")


def _sentence(text: str) -> str:
    """End a text with a full stop, unless it ends with a command, which would not run with one."""
    ends_in_command = f": {program()} " in text.rpartition(". ")[2]
    return text if text.rstrip().endswith((".", "!", "?", ":")) or "\n" in text or ends_in_command else f"{text}."
