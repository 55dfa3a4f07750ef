"""Finds local files by path, folder or glob, and accounts for everything else next to them.

Each file is found once, in order of path. Names in outputs are relative to the recipe's root or, for a file outside it, to the folder above
the pattern's fixed part, so no machine's paths reach a corpus. Hidden files are skipped unless named. A path that does not exist, or a
pattern that matches nothing, is a SourceError. What can't be read (a socket, a link that leads nowhere) is a fault, to be quarantined.

Costs one look at each folder and at each matching file, about 10 s per million files, for each shard and each group that unpacks. Nothing
is remembered, so a file that was just added is seen.
"""

# Paths stay strings until the end, which is three times as fast; each shard picks its own among all.
# ruff: noqa: PTH100, PTH110, PTH112, PTH118, PTH120, PTH122

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from data.documents.sharding import CorpusShard, in_shard
from data.sources.archives.archive import holds_members
from data.sources.config import CaptionedSource, FilesSource, IngestConfig, ManifestSource, TextSource
from data.sources.errors import SourceError
from data.sources.fetching.manifest import chosen_entries, read_manifest
from data.sources.formats import matches_formats
from data.sources.sharing import GROUPS, FileChoice, WorkGrouping, group_choice, group_of, opened_by, pinned_name, shard_choice
from data.sources.walking import LINKED, Entry, Glob, fault_of, walk

DigestOf = Callable[[Iterable[Path]], Mapping[Path, str]]  # returns the hex sha256 of each file, or `unreadable: <reason>`
FOLDER = "folder"  # the kind of a folder whose entries are listed too
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


def find_files(source: FilesSource | CaptionedSource, root: Path) -> dict[str, Path]:
    """Return {name in outputs: file} in order of name. Raise SourceError for a path that finds nothing and for two files of one name."""
    return survey(source, root).files


def survey(source: FilesSource | CaptionedSource, root: Path, *, empty: bool = False) -> Survey:
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


def source_state(config: IngestConfig, root: Path, shard: CorpusShard | None, digest_of: DigestOf) -> dict[str, str]:
    """Return {source name/relative path: digest} of the local files that a shard reads, and why others can't be read, for ingest's key.

    What is unpacked for it is an input. Files that a manifest lists are there with the digests that it states. The shard's
    excluded documents are listed too, and in every shard the digests of excluded texts. Packages, URLs and universes are
    left out: their configuration and inputs already say which bytes they are. Raise SourceError for a missing path."""
    choices: dict[str, FileChoice] = {}
    faults: dict[str, str] = {}
    surveys = _surveys(config, root)
    for source in config.sources:
        if isinstance(source, TextSource):
            works = WorkGrouping(source.label, source.join, shard, frozenset(config.without))
            choices[source.label] = shard_choice(source, works)
            found = surveys[source.label].faults.items() if source.label in surveys else ()
            faults |= {observed_name(source.label, name): fault for name, fault in found if works.includes_file(name)}
    excluded = [one for one in config.without if one in config.without_texts or in_shard(shard, one)]
    pictures = dict[str, str]()
    for source in config.sources:
        if isinstance(source, CaptionedSource):
            pictures |= pictures_state(source, root, digest_of)
    return _file_states(config, root, surveys, choices, digest_of) | faults | pictures | _never_read(excluded)


def pictures_state(source: CaptionedSource, root: Path, digest_of: DigestOf) -> dict[str, str]:
    """Return the states of all files of a source of pictures, which every shard looks at: a page of one may show any picture."""
    if source.collection:  # what folio draws follows from its settings and code alone
        return {observed_name(source.label, "scikit-learn"): version("scikit-learn")} if source.collection == "digits" else {}
    found = survey(source, root)
    digests = digest_of(found.files.values())
    states = {name: digests[path] for name, path in found.files.items()} | found.faults
    return {observed_name(source.label, name): state for name, state in states.items()}


def unpack_state(config: IngestConfig, root: Path, group: CorpusShard | None, digest_of: DigestOf) -> dict[str, str]:
    """Return {source name/relative path: digest} of the local files that a group unpacks, as `source_state` does, for the key of unpack.

    What is excluded may lie in any of them."""
    if group is None:
        raise ValueError("files are unpacked by groups; name one")
    choices = {source.label: group_choice(source, group) for source in config.sources if isinstance(source, TextSource)}
    return _file_states(config, root, _surveys(config, root), choices, digest_of) | _never_read(config.without)


def groups_at_work(config: IngestConfig, root: Path) -> tuple[int, ...]:
    """Return the numbers of the groups that have files to unpack; with one shard, none has. Raise SourceError as `survey` does."""
    found: set[int] = set()
    for source in config.sources if config.shards > 1 else ():
        if isinstance(source, TextSource):
            names = (name for name, path in _files(source, root).items() if opened_by(source, name, path) != "shards")
            found |= {group_of(source, name, GROUPS) for name in names}
    return tuple(sorted(found))


def _files(source: TextSource, root: Path) -> Mapping[str, Path | None]:
    """Return the files of a source by name, those without a path not being on this machine."""
    if isinstance(source, FilesSource):
        return survey(source, root).files
    names = read_manifest(source, root) if isinstance(source, ManifestSource) else (pinned_name(source),)
    return dict.fromkeys(names)


def _surveys(config: IngestConfig, root: Path) -> dict[str, Survey]:
    """Return what is found of each source of local files, by its label."""
    return {source.label: survey(source, root) for source in config.sources if isinstance(source, FilesSource)}


def _file_states(
    config: IngestConfig, root: Path, surveys: Mapping[str, Survey], choices: Mapping[str, FileChoice], digest_of: DigestOf
) -> dict[str, str]:
    """Return the states of the chosen files of all sources."""
    files: dict[str, Path] = {}
    listed: dict[str, str] = {}
    for source in config.sources:
        if isinstance(source, ManifestSource):
            entries = chosen_entries(source, root, choices[source.label])
            listed |= {observed_name(source.label, name): one.state for name, one in entries.items()}
        elif isinstance(source, FilesSource):
            found = surveys[source.label].files.items()
            files |= {observed_name(source.label, name): path for name, path in found if choices[source.label](name, path)}
    digests = digest_of(files.values())
    return {name: digests[path] for name, path in files.items()} | listed


def _never_read(excluded: Iterable[str]) -> dict[str, str]:
    return {f"document {document} (never to be read)": "excluded" for document in excluded}


def census_state(config: IngestConfig, root: Path, shard: CorpusShard | None, digest_of: DigestOf) -> dict[str, str]:
    """Return {source name/*.ending: number and digest of the names} of all entries, and the digest of each archive, for the stage's key."""
    names: defaultdict[str, list[str]] = defaultdict(list)
    archives: dict[str, Path] = {}
    for source in config.sources:
        if isinstance(source, ManifestSource):
            entries = read_manifest(source, root).items()
            names[observed_name(source.label, source.manifest)] = [f"{name}\0{entry.state}" for name, entry in entries]
        if isinstance(source, FilesSource | CaptionedSource) and source.paths:
            found = survey(source, root)
            for name in (*found.files, *found.faults, *found.others):
                ending = PurePosixPath(name).suffix.lower()
                state = found.faults.get(name) or found.others.get(name) or "asked for"
                names[observed_name(source.label, f"*{ending}")].append(f"{name}\0{state}")
            if isinstance(source, FilesSource):
                archives |= {observed_name(source.label, name): path for name, path in found.files.items() if holds_members(name, path)}
    digests = digest_of(archives.values())
    listed = {name: f"{len(all_)}: {hashlib.sha256(chr(10).join(all_).encode()).hexdigest()}" for name, all_ in names.items()}
    return listed | {name: digests[path] for name, path in archives.items()}


def observed_name(source: str, name: str) -> str:
    """Return a file's name among the observed ones. Source names hold no slash, so no two files share one."""
    return f"{source}/{name}"


def _matches(source: FilesSource | CaptionedSource, pattern: str, home: str) -> list[_Found]:
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
