"""Finds local text files by path, folder or glob.

Guarantees: each file once, in the order of its path; names in outputs are relative to the recipe's root, or, for a file
outside it, to the folder above the pattern's fixed part, so no machine's paths reach a corpus. Hidden files are skipped
unless named. A path that does not exist or a pattern that matches nothing is a SourceError, never an empty corpus.
"""

from __future__ import annotations

import glob
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from data.sources.config import FilesSource, IngestConfig
from data.sources.errors import SourceError


def find_files(source: FilesSource, root: Path) -> dict[str, Path]:
    """{name in outputs: file}, ordered by name. Raises SourceError as the module says."""
    root = _absolute(root)
    found: dict[str, Path] = {}
    for pattern in source.paths:
        matches = _matches(source, pattern, root)
        if not matches:
            raise SourceError(
                f"source {source.name!r}: {pattern!r} matches no file ending in {', '.join(source.suffixes)} under {root}. "
                "Correct `paths` or `suffixes`, or put texts there"
            )
        base = _base(root / pattern)
        for path in matches:
            name = path.relative_to(root if path.is_relative_to(root) else base).as_posix()
            if found.setdefault(name, path) != path:
                raise SourceError(f"source {source.name!r}: {found[name]} and {path} would both be called {name!r}; make them two sources")
    return dict(sorted(found.items()))


def source_state(config: IngestConfig, root: Path, shard: object = None, digest_of: object = None) -> dict[str, str]:
    """{source name/relative path: sha256} of every local file the configuration reads, for the key of the ingest stage.

    Empty for packages and universes, whose configuration already says which bytes they are. Reads each file once, four
    at a time. Raises SourceError for a missing path, as ingest would."""
    files = {f"{s.name}/{name}": path for s in config.sources if isinstance(s, FilesSource) for name, path in find_files(s, root).items()}
    with ThreadPoolExecutor(4) as pool:
        return dict(zip(files, pool.map(_state, files.values()), strict=True))


def _state(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        return f"unreadable: {error.strerror}"


def _matches(source: FilesSource, pattern: str, root: Path) -> list[Path]:
    whole = root / pattern
    if whole.is_file():
        return [_absolute(whole)]
    if whole.is_dir():
        names = glob.glob("**/*", root_dir=whole, recursive=True)  # noqa: PTH207
        found = [whole / name for name in names]
    elif glob.has_magic(pattern):
        found = [Path(name) for name in glob.glob(str(whole), recursive=True)]  # noqa: PTH207
    else:
        raise SourceError(f"source {source.name!r}: {pattern!r} does not exist under {root}. Correct `paths` in the recipe")
    return sorted(_absolute(path) for path in found if path.is_file() and path.suffix.lower() in source.suffixes)


def _base(pattern: Path) -> Path:
    fixed = pattern
    while glob.has_magic(str(fixed)):
        fixed = fixed.parent
    return _absolute(fixed).parent


def _absolute(path: Path) -> Path:
    # Links are not resolved: a linked book keeps the name it has in the folder.
    return Path(os.path.abspath(path))  # noqa: PTH100
