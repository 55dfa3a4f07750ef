"""What may be read, and how: the configuration of ingest. Cheap to import; reads nothing.

A source is identified by its configuration. The bytes behind a package are pinned by sha256, those of a universe are an input; only
local files can change under the same configuration, so their names and content join a stage's key through
`data.sources.files.source_state`. What that tells already (which files), and the licence, which no document holds, is marked as no
part of the identity.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, JsonValue, model_validator

from data.synthetic.config import SyntheticSource
from data.universe.config import UniverseSource

JOIN_PARTS = (
    "regular expression matched in a file's name without its extension; files of one folder whose names differ only in "
    "what it matches are the parts of one work, and become one document in the order of their names; none: one file, one document"
)

NOT_IDENTITY: dict[str, JsonValue] = {"identity": False}
NAME = "^[^/]"
LICENCE = "under what terms the texts may be used, for the model card; text"

SHARDS = (
    "into how many parts the documents are divided by a hash of their name; each is read and cleaned by itself and learns words from its "
    "own; more parts: less work when a book changes, fewer words to learn from"
)


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
    return pattern


Pattern = Annotated[str, AfterValidator(_compiles)]


class FilesSource(BaseModel, frozen=True, extra="forbid"):
    """Text files on this machine."""

    kind: Literal["files"] = Field("files", description="local text files")
    name: str = Field("files", pattern=NAME + "+$", description="what documents of this source are called; part of their ids; no slash")
    paths: tuple[str, ...] = Field(
        min_length=1,
        json_schema_extra=NOT_IDENTITY,
        description="files, folders or globs (** crosses folders), relative to the recipe's root; "
        "a folder means every file in it with one of `suffixes`",
    )
    suffixes: tuple[str, ...] = Field(
        (".txt", ".md"), min_length=1, json_schema_extra=NOT_IDENTITY, description="file endings that are read, in lower case"
    )
    encoding: str = Field("detect", description="Python codec name, or detect: UTF-8 first, then the likeliest older encoding")
    join: Pattern | None = Field(None, description=JOIN_PARTS)
    licence: str = Field("not stated", json_schema_extra=NOT_IDENTITY, description=LICENCE)

    @property
    def label(self) -> str:
        """The name documents of this source carry."""
        return self.name


class PackageSource(BaseModel, frozen=True, extra="forbid"):
    """Texts inside an archive of a package registry. The archive is read, never installed."""

    kind: Literal["package"] = Field("package", description="an archive from pip's index")
    name: str = Field("", pattern=NAME + "*$", description="what documents of this source are called; empty: the package's name; no slash")
    package: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="the package's name on the index")
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+!_-]*$", description="exact version")
    archive: Literal["wheel", "sdist"] = Field("wheel", description="which of the version's archives to read")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="the archive's sha256, 64 hex digits")
    include: tuple[str, ...] = Field(("*.txt",), min_length=1, description="globs over paths inside the archive; * also crosses folders")
    exclude: tuple[str, ...] = Field((), description="globs over paths inside the archive that are left out; they win over `include`")
    encoding: str = Field("detect", description="Python codec name, or detect")
    join: Pattern | None = Field(None, description=JOIN_PARTS)
    licence: str = Field("not stated", json_schema_extra=NOT_IDENTITY, description=LICENCE)

    @property
    def label(self) -> str:
        """The name documents of this source carry."""
        return self.name or self.package


SourceConfig = Annotated[FilesSource | PackageSource | UniverseSource | SyntheticSource, Field(discriminator="kind")]


class IngestConfig(BaseModel, frozen=True, extra="forbid"):
    """What the corpus is made of."""

    sources: tuple[SourceConfig, ...] = Field(min_length=1, description="where the texts come from, read in this order")
    max_file_megabytes: int = Field(256, ge=1, description="a larger file is quarantined, not read; megabytes")
    shards: int = Field(8, ge=1, le=4096, description=SHARDS)
    without: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")], ...] = Field(
        (), json_schema_extra=NOT_IDENTITY, description="documents that are never read, by id, whatever their source (folio takedown); ids"
    )

    @model_validator(mode="after")
    def _one_name_each(self) -> IngestConfig:
        labels = [source.label for source in self.sources]
        for kind, made in (("universe", UniverseSource), ("synthetic", SyntheticSource)):
            if sum(isinstance(source, made) for source in self.sources) > 1:
                raise ValueError(f"sources: two are of kind {kind}; a corpus can hold one")
        if twice := next((label for label in labels if labels.count(label) > 1), None):
            raise ValueError(f"sources: two are called {twice!r}; give each a `name` of its own, since it is part of the documents' ids")
        return self
