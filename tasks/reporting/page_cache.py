"""Cache on disk what a page takes long to make, so a run that reuses everything loads neither Arrow nor a drawing library for it.

Kept are drawings, rows read from tables, and cards, all of it text. A key is the hash of what they were made from, of the source of this
folder and of what it calls for them, and of the versions of the libraries that make them. What is damaged is made again, and a folder that
can't be read or written costs only time: neither fails a report.
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
from typing import IO, Any, Concatenate, ParamSpec

from markupsafe import Markup

from tasks.stage.system.atomic_files import write_atomically

P = ParamSpec("P")
LIBRARIES = ("matplotlib", "networkx", "jinja2")
MOST_KEPT = 800  # 13 reports of universe, 4 MB
ROOT = Path(__file__).parents[2]
CALLED = ("data/provenance/tables.py", "model/release/card.py", "model/release/card.md.jinja")
# Read on import: later the files may differ from the code that this process runs.
SOURCES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (*sorted(Path(__file__).parent.rglob("*.py")), *map(ROOT.joinpath, CALLED))
}
_folder: ContextVar[Path | None] = ContextVar("folio_pages", default=None)


@contextmanager
def use_page_cache(folder: Path) -> Iterator[None]:
    """Keep parts of pages in a folder during the block; then delete those that were used longest ago if there are too many."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)
        with suppress(OSError):
            _delete_oldest(folder)


def cached(draw: Callable[P, Markup], *args: P.args, **kwargs: P.kwargs) -> Markup:
    """Return `draw(*args, **kwargs)`, from the cache if there is one; arguments are what JSON holds, and dataclasses."""
    return Markup(kept_text("drawing", [draw.__module__, draw.__qualname__, args, kwargs], lambda: draw(*args, **kwargs)))


def cached_rows(
    read: Callable[Concatenate[IO[bytes], P], list[dict[str, Any]]], path: Path, digest: str, *args: P.args, **kwargs: P.kwargs
) -> list[dict[str, Any]]:
    """Return what `read` finds in a file with this sha256, from the cache if there is one; rows and arguments are what JSON holds."""

    def make() -> str:
        with path.open("rb") as stream:
            return json.dumps(read(stream, *args, **kwargs), ensure_ascii=False)  # so the words in it can be found

    rows: list[dict[str, Any]] = json.loads(kept_text("rows", [digest, read.__module__, read.__qualname__, args, kwargs], make))
    return rows


def kept_text(kind: str, made_of: object, make: Callable[[], str]) -> str:
    """Return what `make` gives, from the cache if there is one; `made_of`: all that it follows from but code, as JSON and dataclasses."""
    folder = _folder.get()
    if folder is None:
        return make()
    key = json.dumps([_maker(), kind, made_of], sort_keys=True, default=vars)
    path = folder / f"{hashlib.sha256(key.encode()).hexdigest()}.{kind}"
    if (kept := _read(path)) is not None:
        return kept
    made = make()
    with suppress(OSError):
        _write(path, made)
    return made


@cache
def _maker() -> str:
    """Return the hash of all code that makes pages."""
    return hashlib.sha256(json.dumps([SOURCES, [version(name) for name in LIBRARIES], sys.version]).encode()).hexdigest()


def _read(path: Path) -> str | None:
    """Return what is kept in a file, and mark it as used; None if there is none or it is damaged."""
    try:
        checksum, _, content = path.read_bytes().partition(b"\n")
        if hashlib.sha256(content).hexdigest().encode() != checksum:
            return None
    except OSError:
        return None
    with suppress(OSError):
        os.utime(path)
    return content.decode()


def _write(path: Path, text: str) -> None:
    content = text.encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, hashlib.sha256(content).hexdigest().encode() + b"\n" + content)


def _delete_oldest(folder: Path) -> None:
    found = list(folder.iterdir())
    if len(found) > MOST_KEPT:
        for old in sorted(found, key=lambda path: path.stat().st_mtime)[:-MOST_KEPT]:
            old.unlink(missing_ok=True)
