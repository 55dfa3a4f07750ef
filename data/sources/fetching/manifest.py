"""Manifests: lists of files at URLs, each pinned by its sha256.

A line holds URL, sha256 and, if wanted, name and licence, separated by tabs; or a JSON object with these keys. Blank lines and lines that
begin with # count for nothing. A file without a name is called as its URL ends; names are paths below the source, so two files can't share
one. URLs hold no credentials, as in a recipe.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, Field, ValidationError, field_validator

from data.sources.config import ManifestSource, RemoteSource, Sha256
from data.sources.errors import SourceError
from data.sources.fetching.urls import reject_secrets
from data.sources.sharing import FileChoice

FIELDS = ("url", "sha256", "name", "licence")


class Entry(BaseModel, frozen=True, extra="forbid", defer_build=True, hide_input_in_errors=True):
    """A file that a manifest lists."""

    url: str = Field(description="where it is fetched from; URL")
    sha256: Sha256
    name: str = Field("", description="path below the source, part of its documents' ids; empty: the end of the URL")
    licence: str = Field("", description="terms under which it may be used, where they differ from the source's; text")

    @field_validator("name")
    @classmethod
    def _stays_below(cls, name: str) -> str:
        if name and (PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or name.endswith("/")):
            raise ValueError(f"{name!r} is not a path below the source; name a file, such as letters/1.txt")
        return name

    @property
    def path(self) -> str:
        """The file's name in its source."""
        return self.name or unquote(PurePosixPath(urlsplit(self.url).path).name) or "file"

    @property
    def state(self) -> str:
        """All that decides what is read from the file, for a stage's key."""
        return f"{self.sha256} {self.licence}".rstrip()

    def pinned(self, source: ManifestSource) -> RemoteSource:
        """Return the file as a source of its own."""
        return RemoteSource(url=self.url, sha256=self.sha256, max_megabytes=source.max_megabytes, max_hours=source.max_hours)


def read_manifest(source: ManifestSource, root: Path) -> dict[str, Entry]:
    """Return {name in outputs: file} in order of name.

    Raise SourceError for a list that is missing or empty, a line that says something else, and two files of one name."""
    path = root / source.manifest
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeError) as error:
        raise SourceError(
            f"source {source.label!r}: {source.manifest!r} can't be read under {root}: {error}. Correct `manifest` in the recipe"
        ) from error
    found: dict[str, Entry] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        where = f"{source.manifest}, line {number}"
        try:
            entry = Entry.model_validate(_fields(line))
            reject_secrets(entry.url)
        except ValidationError as error:
            wrong = error.errors()[0]
            field = ".".join(map(str, wrong["loc"])) or "line"
            raise SourceError(
                f"{where}: {field}: {wrong['msg']}. A line holds {', '.join(FIELDS)}, of which the last two may be left out"
            ) from error
        except ValueError as error:
            raise SourceError(f"{where}: {error}") from error
        if found.setdefault(entry.path, entry) != entry:
            raise SourceError(f"{where}: two files are called {entry.path!r}; give one of them another name, in the third field")
    if not found:
        raise SourceError(f"source {source.label!r}: {source.manifest} lists no file; write one line a file: {', '.join(FIELDS)}")
    return dict(sorted(found.items()))


def chosen_entries(source: ManifestSource, root: Path, chosen: FileChoice) -> dict[str, Entry]:
    """Return what `read_manifest` does, of the chosen files."""
    return {name: entry for name, entry in read_manifest(source, root).items() if chosen(name, None)}


def _fields(line: str) -> Mapping[str, object]:
    """Return the fields of a line. Raise ValueError if it is neither a JSON object nor fields separated by tabs or spaces."""
    if line.lstrip().startswith("{"):
        value = json.loads(line)
        if not isinstance(value, dict):
            raise ValueError("it holds something else than one JSON object")
        return value
    parts = line.strip("\r\n").split("\t") if "\t" in line else line.split(maxsplit=2)
    if len(parts) > len(FIELDS):
        raise ValueError(f"it has {len(parts)} fields separated by tabs, and at most {len(FIELDS)} are known: {', '.join(FIELDS)}")
    return {name: part.strip() for name, part in zip(FIELDS, parts, strict=False) if part.strip()}


def manifest_line(entry: Entry) -> str:
    """Return an entry as a line of a manifest."""
    values = (entry.url, entry.sha256, entry.name, entry.licence)
    if any(mark in value for value in values for mark in "\t\r\n"):
        return json.dumps({name: value for name, value in zip(FIELDS, values, strict=True) if value}, ensure_ascii=False)
    return "\t".join(values).rstrip("\t")
