"""Commands of folio as a person can give them: quoted for a shell, and by the name or the path under which this program is found."""

from __future__ import annotations

import shlex
import shutil
import sys
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
