"""Finds local files by path, folder or glob.

Guarantees: each file once, in the order of its path; names in outputs are relative to the recipe's root, or, for a file
outside it, to the folder above the pattern's fixed part, so no machine's paths reach a corpus. Hidden files are skipped
unless named. A path that does not exist or a pattern that matches nothing is a SourceError, never an empty corpus.
Costs one look at each folder and at each file of a fitting name, about 10 s a million files, for each shard; nothing is remembered, so a
file that was just added is seen.
"""

# Paths stay strings while they are many, which is three times as fast; each shard looks for its own among all.
# ruff: noqa: PTH100, PTH112, PTH113, PTH118, PTH120, PTH122, PTH207

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from data.documents.sharding import CorpusShard, in_shard
from data.sources.config import FilesSource, IngestConfig
from data.sources.errors import SourceError
from data.sources.formats import fits, named
from data.sources.work_grouping import Works

DigestOf = Callable[[Iterable[Path]], Mapping[Path, str]]
"""Hex sha256 of files, or `unreadable: <reason>`."""


def find_files(source: FilesSource, root: Path, works: Works | None = None) -> dict[str, Path]:
    """{name in outputs: file}, ordered by name; with `works`, those that they hold and those that may hold documents of any shard.

    Raises SourceError as the module says."""
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
            # A name of another encoding is written out, since no table can hold it.
            name = os.fsencode(_below(home, path) or _below(base, path) or path).decode("utf-8", "backslashreplace")
            if found.setdefault(name, path) != path:
                raise SourceError(f"source {source.name!r}: {found[name]} and {path} would both be called {name!r}; make them two sources")
    return {name: Path(found[name]) for name in sorted(found) if works is None or named(name).many or works.hold(name)}


def source_state(config: IngestConfig, root: Path, shard: CorpusShard | None, digest_of: DigestOf) -> dict[str, str]:
    """{source name/relative path: digest} of every local file that the shard's works are made of, for the key of the ingest stage.

    Files of records and archives concern every shard. And the shard's documents that are never to be read. Nothing else for packages,
    addresses and universes, whose configuration and input already say which bytes they are. Raises SourceError for a missing path, as
    ingest would."""
    files: dict[str, Path] = {}
    for source in config.sources:
        if isinstance(source, FilesSource):
            works = Works(source.label, source.join, shard, frozenset(config.without))
            files |= {observed_as(source.label, name): path for name, path in find_files(source, root, works).items()}
    digests = digest_of(files.values())
    barred = {f"document {document} (never to be read)": "barred" for document in config.without if in_shard(shard, document)}
    return {name: digests[path] for name, path in files.items()} | barred


def observed_as(source: str, name: str) -> str:
    """What a source's file is called among the observed ones; names of sources have no slash, so no two files share one."""
    return f"{source}/{name}"


def _matches(source: FilesSource, pattern: str, home: str) -> list[str]:
    whole = os.path.join(home, pattern)
    if os.path.isfile(whole):
        return [os.path.abspath(whole)]
    if os.path.isdir(whole):
        found = [os.path.join(whole, name) for name in glob.glob("**/*", root_dir=whole, recursive=True)]
    elif glob.has_magic(pattern):
        found = glob.glob(whole, recursive=True)
    else:
        raise SourceError(f"source {source.name!r}: {pattern!r} does not exist under {home}. Correct `paths` in the recipe")
    asked = os.path.splitext(pattern)[1] if not os.path.isdir(whole) else ""
    # An ending that is written out is what is asked for, whether it is known or not.
    exact = asked and not glob.has_magic(asked)
    fitting = (path for path in found if exact or fits(path, source.formats))
    return sorted({os.path.abspath(path) for path in fitting if os.path.isfile(path)})


def _below(folder: str, path: str) -> str:
    """A path relative to a folder that holds it, with forward slashes; "" when it lies elsewhere."""
    start = folder.rstrip(os.sep) + os.sep
    return path[len(start) :].replace(os.sep, "/") if path.startswith(start) else ""


def _base(pattern: Path) -> str:
    fixed = pattern
    while glob.has_magic(str(fixed)):
        fixed = fixed.parent
    # Links are not resolved: a linked book keeps the name it has in the folder.
    return os.path.dirname(os.path.abspath(fixed))
