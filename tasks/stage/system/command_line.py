"""Words for a person's terminal: folio's commands as a shell takes them, and names similar to one that does not exist."""

from __future__ import annotations

import difflib
import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path


def folio(*words: str) -> str:
    """Return `folio` with these words as one command for a shell."""
    return shlex.join([program(), *words])


def program() -> str:
    """Return `folio` if a shell finds this installation by that name, else the path of its script."""
    called = Path(sys.argv[0])
    script = called if called.name == "folio" else Path(sys.executable).with_name("folio")
    if not script.is_file():
        return "folio"
    found = shutil.which("folio")
    return "folio" if found and Path(found).samefile(script) else str(script.absolute())


def this_command(*words: str) -> str:
    """Return the command that is running, with `words` put before its own."""
    return folio(*words, *sys.argv[1:])


def did_you_mean(word: str, known: Iterable[str], least: float = 0.6) -> str:
    """Return `; did you mean x?` with the one or two nearest names, ignoring case; empty if none is as like as `least`, from 0 to 1."""
    by_case: dict[str, str] = {}
    for name in known:
        by_case.setdefault(name.lower(), name)
    near = difflib.get_close_matches(word.lower(), list(by_case), n=2, cutoff=least)
    return f"; did you mean {' or '.join(by_case[name] for name in near)}?" if near else ""
