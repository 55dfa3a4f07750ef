"""The configuration of sources of conversations: the same files, URLs and packages as books come from, with records of a known shape."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, Field

from data.conversations.shapes.registry import Shape
from data.sources.config import FilesSource, IngestConfig, ManifestSource, PackageSource, RemoteSource

ConversationFormat = Literal["jsonl", "csv", "parquet"]
FORMATS: tuple[ConversationFormat, ...] = ("jsonl", "csv", "parquet")
ConversationFormats = Annotated[
    tuple[ConversationFormat, ...],
    Field(min_length=1, description="formats to read, plain, compressed or in an archive: jsonl, csv (or tsv), parquet"),
]
RecordShape = Annotated[
    Shape,
    Field(
        description="what fields a record has. openai: messages; sharegpt: conversations; alpaca: instruction, input, output; completion: "
        "prompt, completion; preference: chosen, rejected; labelled: completion, label; auto: the first that fits, record by record"
    ),
]


class ConversationSourceBase(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """What sources of conversations have instead of a text's field, title and parts."""

    text_field: ClassVar[str] = ""
    title_field: ClassVar[None] = None
    join: ClassVar[None] = None

    shape: RecordShape = "auto"


class ConversationFiles(ConversationSourceBase, FilesSource):
    """Files of conversations on this machine."""

    text_field: ClassVar[str] = ""  # type: ignore[misc]
    title_field: ClassVar[None] = None  # type: ignore[misc]
    join: ClassVar[None] = None  # type: ignore[misc]

    name: str = Field("conversations", pattern="^[^/]+$", description="source name, part of its conversations' ids; no slash")
    formats: ConversationFormats = FORMATS


class ConversationRemote(ConversationSourceBase, RemoteSource, hide_input_in_errors=True):
    """One file or archive of conversations at a URL, fetched once."""

    text_field: ClassVar[str] = ""  # type: ignore[misc]
    title_field: ClassVar[None] = None  # type: ignore[misc]
    join: ClassVar[None] = None  # type: ignore[misc]

    formats: ConversationFormats = FORMATS


class ConversationManifest(ConversationSourceBase, ManifestSource):
    """Files and archives of conversations at URLs that a list names, each fetched once."""

    text_field: ClassVar[str] = ""  # type: ignore[misc]
    title_field: ClassVar[None] = None  # type: ignore[misc]
    join: ClassVar[None] = None  # type: ignore[misc]

    formats: ConversationFormats = FORMATS


class ConversationPackage(ConversationSourceBase, PackageSource):
    """Conversations inside a package on pip's index. The archive is read, never installed."""

    text_field: ClassVar[str] = ""  # type: ignore[misc]
    title_field: ClassVar[None] = None  # type: ignore[misc]
    join: ClassVar[None] = None  # type: ignore[misc]

    include: tuple[str, ...] = Field(
        ("*.jsonl", "*.parquet"), min_length=1, description="globs over paths inside the archive; * also crosses folders"
    )
    formats: ConversationFormats = FORMATS


ConversationSource = Annotated[
    ConversationFiles | ConversationRemote | ConversationManifest | ConversationPackage, Field(discriminator="kind")
]


class ConversationIngest(IngestConfig):
    """What conversations are read, and how: one shard, since they are records of few files."""

    sources: tuple[ConversationSource, ...] = Field(min_length=1, description="where the conversations come from")
    max_file_megabytes: int = Field(8, ge=1, description="quarantine a larger conversation instead of reading it; megabytes")
    shards: int = Field(1, ge=1, le=1, description="how many shards the conversations are read in; count")
