"""`program.py`, compiled for this machine.

Compiled code is kept in the user's cache folder, by the program's text and numba's version, with the checksum of each file: damaged code is
compiled again. One process compiles, others wait for it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType

import numba
from platformdirs import user_cache_path

PROGRAM = Path(__file__).with_name("program.py")
SUMS = "sums.json"


@cache
def program() -> ModuleType:
    """Return the program with its `step` compiled. Where the cache folder can't be written, it is compiled for this process alone."""
    text = PROGRAM.read_text(encoding="utf-8")
    digest = hashlib.sha256(f"{numba.__version__} {sys.version}\n{text}".encode()).hexdigest()[:32]
    try:
        with _alone_in(user_cache_path("folio") / "compiled" / digest) as folder:
            return load(text, folder)
    except OSError:
        with tempfile.TemporaryDirectory(prefix="folio-compiled-") as alone:
            return load(text, Path(alone))


def load(text: str, folder: Path) -> ModuleType:
    """Return a program as a module, compiled code taken from the folder if it is there and whole."""
    copy, found = folder / PROGRAM.name, _sums(folder)
    if not copy.exists() or copy.read_bytes() != text.encode() or found != _noted(folder):
        for file in (file for file in folder.rglob("*") if file.is_file()):
            file.unlink()
        copy.write_bytes(text.encode())
        found = {}
    module = ModuleType(f"folio_compiled_{folder.name}")
    # numba looks a compiled function's module up by name.
    sys.modules[module.__name__] = module
    module.__file__ = str(copy)
    exec(compile(text, str(copy), "exec"), module.__dict__)
    if (made := _sums(folder)) != found:
        (folder / SUMS).write_text(json.dumps(made), encoding="utf-8")
    return module


def _sums(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*.nb*") if file.is_file())
    return {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _noted(folder: Path) -> dict[str, str]:
    try:
        noted: dict[str, str] = json.loads((folder / SUMS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return noted


@contextmanager
def _alone_in(folder: Path) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield folder
