"""Cache on disk what a page takes long to make, so a run that reuses everything loads neither Arrow nor a drawing library for it.

Kept are drawings, rows read from tables, and compiled templates. A key is the hash of what they were made from, of the source of this
folder and of what reads tables, and of the versions of the libraries that draw. What is damaged is made again, and a folder that can't be
read or written costs only time: neither fails a report.
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

from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from markupsafe import Markup

from data.provenance import tables
from tasks.stage.system.atomic_files import write_atomically

P = ParamSpec("P")
LIBRARIES = ("matplotlib", "networkx")
MOST_KEPT = 800  # about twelve reports' worth, 5 MB
ROOT = Path(__file__).parents[2]
# Read on import: later the files may differ from the code that this process runs.
SOURCES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (*sorted(Path(__file__).parent.rglob("*.py")), Path(tables.__file__))
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
    drawn = json.dumps([draw.__module__, draw.__qualname__, args, kwargs], sort_keys=True, default=vars)
    return Markup(_kept("drawing", drawn, lambda: draw(*args, **kwargs)))


def cached_rows(
    read: Callable[Concatenate[IO[bytes], P], list[dict[str, Any]]], path: Path, digest: str, *args: P.args, **kwargs: P.kwargs
) -> list[dict[str, Any]]:
    """Return what `read` finds in a file with this sha256, from the cache if there is one; rows and arguments are what JSON holds."""

    def make() -> str:
        with path.open("rb") as stream:
            return json.dumps(read(stream, *args, **kwargs), ensure_ascii=False)  # so the words in it can be found

    asked = json.dumps([digest, read.__module__, read.__qualname__, args, kwargs], sort_keys=True)
    rows: list[dict[str, Any]] = json.loads(_kept("rows", asked, make))
    return rows


class CompiledTemplates(BytecodeCache):
    """Jinja's compiled templates, in the same folder; jinja itself checks that one belongs to the template's source and to this Python."""

    def load_bytecode(self, bucket: Bucket) -> None:
        """Fill a bucket from the cache, if it has the template."""
        if (folder := _folder.get()) is not None and (content := _read(self._path(folder, bucket))) is not None:
            bucket.bytecode_from_string(content)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep what a bucket has."""
        if (folder := _folder.get()) is not None:
            with suppress(OSError):
                _write(self._path(folder, bucket), bucket.bytecode_to_string())

    def _path(self, folder: Path, bucket: Bucket) -> Path:
        return _path(folder, "template", f"{bucket.key} {bucket.checksum}")


def _kept(kind: str, key: str, make: Callable[[], str]) -> str:
    """Return what is kept under a key, or make it and keep it."""
    folder = _folder.get()
    if folder is None:
        return make()
    path = _path(folder, kind, key)
    if (content := _read(path)) is not None:
        return content.decode()
    made = make()
    with suppress(OSError):
        _write(path, made.encode())
    return made


def _path(folder: Path, kind: str, key: str) -> Path:
    return folder / f"{hashlib.sha256(f'{_maker()} {key}'.encode()).hexdigest()}.{kind}"


@cache
def _maker() -> str:
    """Return the hash of all code that makes pages."""
    return hashlib.sha256(json.dumps([SOURCES, [version(name) for name in LIBRARIES], sys.version]).encode()).hexdigest()


def _read(path: Path) -> bytes | None:
    """Return what is kept in a file, and mark it as used; None if there is none or it is damaged."""
    try:
        checksum, _, content = path.read_bytes().partition(b"\n")
        if hashlib.sha256(content).hexdigest().encode() != checksum:
            return None
    except OSError:
        return None
    with suppress(OSError):
        os.utime(path)
    return content


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, hashlib.sha256(content).hexdigest().encode() + b"\n" + content)


def _delete_oldest(folder: Path) -> None:
    found = list(folder.iterdir())
    if len(found) > MOST_KEPT:
        for old in sorted(found, key=lambda path: path.stat().st_mtime)[:-MOST_KEPT]:
            old.unlink(missing_ok=True)
