"""Cache drawings on disk, so a run that reuses everything is reported without importing matplotlib or networkx.

A drawing's key is the hash of its data, the source of this folder and the versions of the drawing libraries. One that is
damaged is drawn again, and a folder that can't be read or written costs only time: neither fails a report.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import ParamSpec

from markupsafe import Markup

from tasks.stage.system.atomic_files import write_atomically

P = ParamSpec("P")
LIBRARIES = ("matplotlib", "networkx")
MOST_DRAWINGS = 500  # about twelve reports' worth, 4 MB
# Read on import: later the files may differ from the code that this process runs.
SOURCES = {path.name: path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.py"))}
_folder: ContextVar[Path | None] = ContextVar("folio_drawings", default=None)


@contextmanager
def use_drawing_cache(folder: Path) -> Iterator[None]:
    """Keep drawings in a folder during the block; then delete those that were used longest ago if there are too many."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)
        with suppress(OSError):
            _delete_oldest(folder)


def cached(draw: Callable[P, Markup], *args: P.args, **kwargs: P.kwargs) -> Markup:
    """Return `draw(*args, **kwargs)`, from the cache if there is one; arguments are what JSON holds, and dataclasses."""
    folder = _folder.get()
    if folder is None:
        return draw(*args, **kwargs)
    drawn = json.dumps([_drawer(), draw.__module__, draw.__qualname__, args, kwargs], sort_keys=True, default=vars)
    path = folder / f"{hashlib.sha256(drawn.encode()).hexdigest()}.drawing"
    if (kept := _read(path)) is not None:
        return Markup(kept)
    made = draw(*args, **kwargs)
    with suppress(OSError):
        _write(path, made)
    return made


@cache
def _drawer() -> str:
    """Return the hash of all code that draws."""
    return hashlib.sha256(json.dumps([SOURCES, [version(name) for name in LIBRARIES], sys.version]).encode()).hexdigest()


def _read(path: Path) -> str | None:
    """Return a kept drawing, and mark it as used; None if there is none or it is damaged."""
    try:
        checksum, _, content = path.read_bytes().partition(b"\n")
        if hashlib.sha256(content).hexdigest().encode() != checksum:
            return None
    except OSError:
        return None
    with suppress(OSError):
        os.utime(path)
    return content.decode()


def _write(path: Path, drawing: str) -> None:
    content = drawing.encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, hashlib.sha256(content).hexdigest().encode() + b"\n" + content)


def _delete_oldest(folder: Path) -> None:
    found = list(folder.iterdir())
    if len(found) > MOST_DRAWINGS:
        for old in sorted(found, key=lambda path: path.stat().st_mtime)[:-MOST_DRAWINGS]:
            old.unlink(missing_ok=True)
