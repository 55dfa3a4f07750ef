"""Finds local files by path, folder or glob.

Each file is found once, in order of path. Names in outputs are relative to the recipe's root or, for a file outside it, to the folder above
the pattern's fixed part, so no machine's paths reach a corpus. Hidden files are skipped unless named. A path that does not exist, or a
pattern that matches nothing, is a SourceError.

Costs one look at each folder and at each matching file, about 10 s per million files, for each shard. Nothing is remembered, so a file that
was just added is seen.
"""

# Paths stay strings until the end, which is three times as fast; each shard picks its own among all.
# ruff: noqa: PTH100, PTH112, PTH113, PTH118, PTH120, PTH122, PTH207

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from data.documents.sharding import CorpusShard, in_shard
from data.sources.config import FilesSource, IngestConfig
from data.sources.errors import SourceError
from data.sources.formats import matches_formats, type_from_name
from data.sources.work_grouping import WorkGrouping

DigestOf = Callable[[Iterable[Path]], Mapping[Path, str]]
"""Returns the hex sha256 of each file, or `unreadable: <reason>`."""


def find_files(source: FilesSource, root: Path, works: WorkGrouping | None = None) -> dict[str, Path]:
    """Return {name in outputs: file} in order of name. With `works`: only their files and those that may hold documents of any shard.

    Raise SourceError for a path or pattern that finds nothing and for two files of one name."""
    home = os.path.abspath(root)
    found: dict[str, str] = {}
    for pattern in source.paths:
        matches = _matches(source, pattern, home)
        if not matches:
            raise SourceError(
                f"source {source.name!r}: {pattern!r} matches no file of {', '.join(source.formats)} under {home}. "
                "Correct `paths` or `formats`, or put texts there"
            )
        base = _base(Path(home, pattern))
        for path in matches:
            # A file name that isn't UTF-8 is escaped, since Parquet can't hold it.
            name = os.fsencode(_below(home, path) or _below(base, path) or path).decode("utf-8", "backslashreplace")
            if found.setdefault(name, path) != path:
                raise SourceError(f"source {source.name!r}: {found[name]} and {path} would both be called {name!r}; make them two sources")
    return {
        name: Path(found[name])
        for name in sorted(found)
        if works is None or type_from_name(name).may_hold_many or works.includes_file(name)
    }


def source_state(config: IngestConfig, root: Path, shard: CorpusShard | None, digest_of: DigestOf) -> dict[str, str]:
    """Return {source name/relative path: digest} of the shard's local files, for the key of the ingest stage.

    Archives and files of records concern every shard. The shard's excluded documents are listed too. Packages, URLs and universes are
    left out: their configuration and inputs already say which bytes they are. Raise SourceError for a missing path."""
    files: dict[str, Path] = {}
    for source in config.sources:
        if isinstance(source, FilesSource):
            works = WorkGrouping(source.label, source.join, shard, frozenset(config.without))
            files |= {observed_name(source.label, name): path for name, path in find_files(source, root, works).items()}
    digests = digest_of(files.values())
    excluded = {f"document {document} (never to be read)": "excluded" for document in config.without if in_shard(shard, document)}
    return {name: digests[path] for name, path in files.items()} | excluded


def observed_name(source: str, name: str) -> str:
    """Return a file's name among the observed ones. Source names hold no slash, so no two files share one."""
    return f"{source}/{name}"


def _matches(source: FilesSource, pattern: str, home: str) -> list[str]:
    full_path = os.path.join(home, pattern)
    if os.path.isfile(full_path):
        return [os.path.abspath(full_path)]
    if os.path.isdir(full_path):
        found = [os.path.join(full_path, name) for name in glob.glob("**/*", root_dir=full_path, recursive=True)]
    elif glob.has_magic(pattern):
        found = glob.glob(full_path, recursive=True)
    else:
        raise SourceError(f"source {source.name!r}: {pattern!r} does not exist under {home}. Correct `paths` in the recipe")
    ending = os.path.splitext(pattern)[1] if not os.path.isdir(full_path) else ""
    # An ending spelled out in the pattern is read even if it is unknown, such as *.asc.
    exact = ending and not glob.has_magic(ending)
    wanted = (path for path in found if exact or matches_formats(path, source.formats))
    return sorted({os.path.abspath(path) for path in wanted if os.path.isfile(path)})


def _below(folder: str, path: str) -> str:
    """Return the path relative to the folder, with forward slashes; "" when it lies elsewhere."""
    start = folder.rstrip(os.sep) + os.sep
    return path[len(start) :].replace(os.sep, "/") if path.startswith(start) else ""


def _base(pattern: Path) -> str:
    fixed = pattern
    while glob.has_magic(str(fixed)):
        fixed = fixed.parent
    # Links are not resolved: a linked book keeps its name in this folder.
    return os.path.dirname(os.path.abspath(fixed))
