"""Finds local files by path, folder or glob, and accounts for everything else next to them.

Each file is found once, in order of path. Names in outputs are relative to the recipe's root or, for a file outside it, to the folder above
the pattern's fixed part, so no machine's paths reach a corpus. Hidden files are skipped unless named. A path that does not exist, or a
pattern that matches nothing, is a SourceError. What can't be read (a socket, a link that leads nowhere) is a fault, to be quarantined.

Costs one look at each folder and at each matching file, about 10 s per million files, for each shard. Nothing is remembered, so a file that
was just added is seen.
"""

# Paths stay strings until the end, which is three times as fast; each shard picks its own among all.
# ruff: noqa: PTH100, PTH110, PTH112, PTH118, PTH120, PTH122

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from data.documents.sharding import CorpusShard, in_shard
from data.sources.archives.archive import holds_members
from data.sources.config import FilesSource, IngestConfig, ManifestSource
from data.sources.errors import SourceError
from data.sources.fetching.manifest import read_manifest, shard_entries
from data.sources.formats import matches_formats, type_from_name
from data.sources.globbing import Glob
from data.sources.walking import LINKED, Entry, fault_of, walk
from data.sources.work_grouping import WorkGrouping

DigestOf = Callable[[Iterable[Path]], Mapping[Path, str]]
"""Returns the hex sha256 of each file, or `unreadable: <reason>`."""
FOLDER = "folder"
"""The kind of a folder whose entries are listed too."""
NO_ENDING = "without an ending"
HIDDEN = ("hidden file", "hidden folder")


class Survey(NamedTuple):
    """The entries that a source finds, by name in outputs and in order of name.

    `files`: those to read; `faults`: why others can't be read; `others`: the kind of those that the source doesn't ask for."""

    files: dict[str, Path]
    faults: dict[str, str]
    others: dict[str, str]


class _Found(NamedTuple):
    """An entry and how its pattern classifies it. `kind`: of an entry that isn't wanted, else ""."""

    path: str
    fault: str = ""
    kind: str = ""


def find_files(source: FilesSource, root: Path, works: WorkGrouping | None = None) -> dict[str, Path]:
    """Return {name in outputs: file} in order of name. With `works`: only their files and those that may hold documents of any shard.

    Raise SourceError for a path or pattern that finds nothing and for two files of one name."""
    return _chosen(survey(source, root).files, works)


def shard_files(source: FilesSource, root: Path, works: WorkGrouping) -> tuple[dict[str, Path], dict[str, str]]:
    """Return the files of a shard as `find_files` does, and the faults of the entries that would be its documents."""
    found = survey(source, root)
    return _chosen(found.files, works), {name: fault for name, fault in found.faults.items() if works.includes_file(name)}


def survey(source: FilesSource, root: Path, *, empty: bool = False) -> Survey:
    """Look at everything where the source's paths point. Raise SourceError as `find_files` does; with `empty`, not for finding nothing."""
    home = os.path.abspath(root)
    found: dict[str, _Found] = {}
    for pattern in source.paths:
        matches = _matches(source, pattern, home)
        if not empty and all(match.kind or match.fault for match in matches):
            raise SourceError(
                f"source {source.name!r}: {pattern!r} matches no file of {', '.join(source.formats)} under {home}. "
                "Correct `paths` or `formats`, or put texts there"
            )
        base = _base(Path(home, pattern))
        for match in matches:
            # A file name that isn't UTF-8 is escaped, since Parquet can't hold it.
            name = _below(home, match.path) or _below(base, match.path) or match.path
            name = os.fsencode(name).decode("utf-8", "backslashreplace")
            before = found.setdefault(name, match)
            if before.path != match.path:
                raise SourceError(
                    f"source {source.name!r}: {before.path} and {match.path} would both be called {name!r}; make them two sources"
                )
            # One pattern may ask for what another leaves out.
            if before.kind and not match.kind:
                found[name] = match
    ordered = sorted(found.items())
    return Survey(
        {name: Path(one.path) for name, one in ordered if not one.fault and not one.kind},
        {name: one.fault for name, one in ordered if one.fault and not one.kind},
        {name: one.kind for name, one in ordered if one.kind},
    )


def _chosen(files: dict[str, Path], works: WorkGrouping | None) -> dict[str, Path]:
    return {name: path for name, path in files.items() if works is None or type_from_name(name).may_hold_many or works.includes_file(name)}


def source_state(config: IngestConfig, root: Path, shard: CorpusShard | None, digest_of: DigestOf) -> dict[str, str]:
    """Return {source name/relative path: digest} of the shard's local files, and why others can't be read, for the key of ingest.

    Archives and files of records concern every shard. Files that a manifest lists are there with the digests that it states. The shard's
    excluded documents are listed too, and in every shard the digests of excluded texts. Packages, URLs and universes are
    left out: their configuration and inputs already say which bytes they are. Raise SourceError for a missing path."""
    files: dict[str, Path] = {}
    faults: dict[str, str] = {}
    listed: dict[str, str] = {}
    for source in config.sources:
        if isinstance(source, FilesSource | ManifestSource):
            works = WorkGrouping(source.label, source.join, shard, frozenset(config.without))
        if isinstance(source, ManifestSource):
            listed |= {observed_name(source.label, name): one.state for name, one in shard_entries(source, root, works).items()}
        elif isinstance(source, FilesSource):
            found = shard_files(source, root, works)
            files |= {observed_name(source.label, name): path for name, path in found[0].items()}
            faults |= {observed_name(source.label, name): fault for name, fault in found[1].items()}
    digests = digest_of(files.values())
    excluded = {
        f"document {document} (never to be read)": "excluded"
        for document in config.without
        if document in config.without_texts or in_shard(shard, document)
    }
    return {name: digests[path] for name, path in files.items()} | faults | listed | excluded


def census_state(config: IngestConfig, root: Path, shard: CorpusShard | None, digest_of: DigestOf) -> dict[str, str]:
    """Return {source name/*.ending: number and digest of the names} of all entries, and the digest of each archive, for the stage's key."""
    names: defaultdict[str, list[str]] = defaultdict(list)
    archives: dict[str, Path] = {}
    for source in config.sources:
        if isinstance(source, ManifestSource):
            entries = read_manifest(source, root).items()
            names[observed_name(source.label, source.manifest)] = [f"{name}\0{entry.state}" for name, entry in entries]
        if isinstance(source, FilesSource):
            found = survey(source, root)
            for name in (*found.files, *found.faults, *found.others):
                ending = PurePosixPath(name).suffix.lower()
                state = found.faults.get(name) or found.others.get(name) or "asked for"
                names[observed_name(source.label, f"*{ending}")].append(f"{name}\0{state}")
            archives |= {observed_name(source.label, name): path for name, path in found.files.items() if holds_members(name, path)}
    digests = digest_of(archives.values())
    listed = {name: f"{len(all_)}: {hashlib.sha256(chr(10).join(all_).encode()).hexdigest()}" for name, all_ in names.items()}
    return listed | {name: digests[path] for name, path in archives.items()}


def observed_name(source: str, name: str) -> str:
    """Return a file's name among the observed ones. Source names hold no slash, so no two files share one."""
    return f"{source}/{name}"


def _matches(source: FilesSource, pattern: str, home: str) -> list[_Found]:
    full_path = os.path.join(home, pattern)
    if os.path.isdir(full_path):
        return [_judged(entry, matches_formats(entry.path, source.formats), inside=True) for entry in walk(full_path)]
    if os.path.exists(full_path):
        if fault := fault_of(full_path):
            raise SourceError(f"source {source.name!r}: {pattern!r} is {fault}; name a file, a folder or a glob in `paths`")
        return [_Found(os.path.abspath(full_path))]
    if not Glob.is_one(pattern):
        raise SourceError(f"source {source.name!r}: {pattern!r} does not exist under {home}. Correct `paths` in the recipe")
    ending = os.path.splitext(pattern)[1]
    # An ending spelled out in the pattern is read even if it is unknown, such as *.asc.
    exact = bool(ending) and not Glob.is_one(ending)
    glob = Glob(full_path)
    return [_judged(entry, glob.matches(entry.path) and (exact or matches_formats(entry.path, source.formats))) for entry in glob.walk()]


def _judged(entry: Entry, asked: bool, *, inside: bool = False) -> _Found:
    """Return what becomes of an entry. `asked`: path and name are those of a text; `inside`: what a folder holds is read too."""
    path = os.path.abspath(entry.path)
    if entry.hidden and not (asked and not inside):
        return _Found(path, kind=HIDDEN[entry.folder])
    if entry.folder:
        if entry.fault:
            return _Found(path, kind="linked folder") if entry.fault == LINKED else _Found(path, entry.fault)
        if asked and not inside:
            return _Found(path, "a folder: not a file of texts; name it in `paths` to read what is in it")
        return _Found(path, kind=FOLDER if entry.walked else "folder beside the glob")
    if entry.fault and (asked or inside):
        return _Found(path, entry.fault)
    return _Found(path, kind="" if asked else os.path.splitext(path)[1].lower() or NO_ENDING)


def _below(folder: str, path: str) -> str:
    """Return the path relative to the folder, with forward slashes; "" when it lies elsewhere."""
    start = folder.rstrip(os.sep) + os.sep
    return path[len(start) :].replace(os.sep, "/") if path.startswith(start) else ""


def _base(pattern: Path) -> str:
    # Links are not resolved: a linked book keeps its name in this folder.
    return os.path.dirname(os.path.abspath(Glob.fixed_part(pattern)))
