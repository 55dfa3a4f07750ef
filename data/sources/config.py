"""The configuration of ingest: which books and conversations are read, and how.

A source's configuration is its identity: packages and URLs are pinned by sha256, and a universe's books are an input of the stage. Only
local files can change under the same configuration, so `data.sources.files.source_state` adds their names and content to the stage's key,
and the entries of manifests.
Fields that this covers already (which files), and the licence, which no document holds, are marked as no part of the identity.

The configuration of sources of conversations: the same files, URLs and packages as books come from, with records of a known shape.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field, JsonValue, model_validator

from data.conversations.shapes import Shape
from data.sources.fetching.urls import reject_secrets
from data.sources.formats import FIELDED, FORMATS, OWN_ENCODING, PICTURE, RECORDS, SOUND, USUAL, Format
from data.synthetic.config import SyntheticSource
from data.universe.config import UniverseSource

NOT_IDENTITY: dict[str, JsonValue] = {"identity": False}
NAME = "^[^/]"

SHARDS = (
    "how many shards the documents are divided into by a hash of their name; each is read and cleaned on its own and learns its words from "
    "its own texts; more shards: less work when a book changes, but fewer words to learn from"
)


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
    return pattern


Formats = Annotated[
    tuple[Format, ...],
    Field(
        min_length=1,
        description="formats to read, plain, compressed (gz, zst, bz2, xz) or in an archive (zip, tar): txt, md, html, epub, "
        "pdf (text layer), docx, odt, rtf, tex (LaTeX), ipynb (Jupyter), subtitles (srt, vtt, ass), fb2, tei, code (programs, which only "
        "a recipe that names it reads), jsonl, json (an array, or objects), csv (or tsv), parquet, warc, mbox, mediawiki (dumps); a "
        "file's bytes decide its format, and its name where they can't",
    ),
]
TextField = Annotated[
    str, Field(min_length=1, description="field or column of a record's text; a period leads into an object: doc.text; name")
]
IdField = Annotated[
    str | None,
    Field(
        min_length=1,
        description="field or column that names a record, unique in its file; null: its number, from 1; name",
    ),
]
TitleField = Annotated[
    str | None, Field(min_length=1, description="field or column that holds a record's title; null: find titles in the texts; name")
]
Encoding = Annotated[str, Field(description="Python codec name, or detect: UTF-8 first, then the likeliest legacy encoding")]
Pattern = Annotated[str, AfterValidator(_compiles)]
Pages = Annotated[
    Literal["auto", "whole", "main"],
    Field(
        description="text taken of an HTML page: whole, all that it shows; main, without menus, advertisements and the like as far as they "
        "can be told, which loses parts of books; auto: main for pages in WARC files, whole for others"
    ),
]
Join = Annotated[
    Pattern | None,
    Field(
        description="regular expression searched in file names without extension; files of one folder whose names differ only in what it "
        "matches are parts of one work and become one document, in order of name; null: each file is a document"
    ),
]
Licence = Annotated[
    str, Field(json_schema_extra=NOT_IDENTITY, description="terms under which the texts may be used, for the model card; text")
]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="sha256 of the file that is fetched, 64 hex digits")]
MaxMegabytes = Annotated[int, Field(ge=1, json_schema_extra=NOT_IDENTITY, description="refuse a larger download; megabytes")]
MaxHours = Annotated[
    float,
    Field(
        gt=0,
        json_schema_extra=NOT_IDENTITY,
        description="end a download that takes longer in all, whatever it brings; the next run goes on where it ended; hours",
    ),
]


class TextSourceBase(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The base of all sources of texts: a key that would do nothing is refused."""

    @model_validator(mode="after")
    def _every_key_counts(self) -> Self:
        formats = frozenset(getattr(self, "formats", USUAL))
        needed = {"text_field": FIELDED, "id_field": FIELDED, "title_field": FIELDED, "join": frozenset(FORMATS) - RECORDS}
        needed["encoding"] = frozenset(FORMATS) - OWN_ENCODING
        needed["pages"] = frozenset({"html", "warc"})
        for name, wanted in needed.items():
            if name not in type(self).model_fields:
                continue
            value, default = getattr(self, name), type(self).model_fields[name].default
            if value != default and not formats & wanted:
                raise ValueError(
                    f"{name}={value!r} does nothing while formats={sorted(formats)}; it applies to {', '.join(sorted(wanted))}: add one of "
                    f"them to `formats`, or set {name} to its default, {default!r}"
                )
        return self


class FilesSource(TextSourceBase):
    """Files on this machine."""

    kind: Literal["files"] = Field("files", description="local files")
    name: str = Field("files", pattern=NAME + "+$", description="source name, part of its documents' ids; no slash")
    paths: tuple[str, ...] = Field(
        min_length=1,
        json_schema_extra=NOT_IDENTITY,
        description="files, folders or globs (** crosses folders), relative to the recipe's root; a folder, or a glob that ends in a "
        "star, gives every archive and every file with an extension of `formats`",
    )
    formats: Formats = USUAL
    text_field: TextField = "text"
    id_field: IdField = None
    title_field: TitleField = None
    encoding: Encoding = "detect"
    pages: Pages = "auto"
    join: Join = None
    licence: Licence = "not stated"

    @property
    def label(self) -> str:
        """The source's name in its documents."""
        return self.name


class RemoteSource(TextSourceBase, hide_input_in_errors=True):
    """One file or archive at a URL, fetched once and then read like a local file."""

    kind: Literal["remote"] = Field("remote", description="a file at a URL")
    name: str = Field("", pattern=NAME + "*$", description="source name, part of its documents' ids; empty: the file's name; no slash")
    url: str = Field(
        description="http(s), s3, gs, az, abfs or any other URL that fsspec knows; without credentials, which come from the environment"
    )
    sha256: Sha256
    max_megabytes: MaxMegabytes = 4096
    max_hours: MaxHours = 24.0
    formats: Formats = USUAL
    text_field: TextField = "text"
    id_field: IdField = None
    title_field: TitleField = None
    encoding: Encoding = "detect"
    pages: Pages = "auto"
    join: Join = None
    licence: Licence = "not stated"

    @model_validator(mode="after")
    def _holds_no_secret(self) -> Self:
        # Not a validator of the field: its errors would show the secret.
        reject_secrets(self.url)
        return self

    @property
    def file(self) -> str:
        """The fetched file's name."""
        return PurePosixPath(urlsplit(self.url).path).name or "file"

    @property
    def label(self) -> str:
        """The source's name in its documents."""
        return self.name or self.file


class ManifestSource(TextSourceBase):
    """Files and archives at URLs that a list names, each fetched once and then read like a local file."""

    kind: Literal["manifest"] = Field("manifest", description="files at URLs, listed in a file")
    name: str = Field("", pattern=NAME + "*$", description="source name, part of its documents' ids; empty: the list's file name; no slash")
    manifest: str = Field(
        min_length=1,
        json_schema_extra=NOT_IDENTITY,
        description="file with a URL, its sha256 and, if wanted, name and licence on each line, separated by tabs or as a JSON object; "
        "`folio corpus pin` writes one; path relative to the recipe's root",
    )
    max_megabytes: MaxMegabytes = 4096
    max_hours: MaxHours = 24.0
    formats: Formats = USUAL
    text_field: TextField = "text"
    id_field: IdField = None
    title_field: TitleField = None
    encoding: Encoding = "detect"
    pages: Pages = "auto"
    join: Join = None
    licence: Licence = "not stated"

    @property
    def label(self) -> str:
        """The source's name in its documents."""
        return self.name or PurePosixPath(self.manifest).name


class PackageSource(TextSourceBase):
    """Texts inside a package on pip's index. The archive is read, never installed."""

    kind: Literal["package"] = Field("package", description="an archive from pip's index")
    name: str = Field("", pattern=NAME + "*$", description="source name, part of its documents' ids; empty: the package's name; no slash")
    package: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="the package's name on the index")
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+!_-]*$", description="exact version")
    archive: Literal["wheel", "sdist"] = Field("wheel", description="which of the version's archives to read")
    sha256: Sha256
    include: tuple[str, ...] = Field(("*.txt",), min_length=1, description="globs over paths inside the archive; * also crosses folders")
    exclude: tuple[str, ...] = Field((), description="globs over paths inside the archive to leave out; they win over `include`")
    formats: Formats = USUAL
    text_field: TextField = "text"
    id_field: IdField = None
    title_field: TitleField = None
    encoding: Encoding = "detect"
    pages: Pages = "auto"
    join: Join = None
    licence: Licence = "not stated"

    @property
    def label(self) -> str:
        """The source's name in its documents."""
        return self.name or self.package


class CaptionedSource(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Pictures or sounds, each with what is said of it."""

    formats: ClassVar[tuple[str, ...]]
    MEDIUM: ClassVar[str]

    name: str
    paths: tuple[str, ...]
    collection: str
    path_field: str = Field(
        "file_name",
        min_length=1,
        description="column of a table that names a picture or a sound, relative to the table; of a Parquet table it may hold the files "
        "themselves, as bytes or as Hugging Face's data sets have them (column `image` or `audio`); name",
    )
    caption_field: str = Field("text", min_length=1, description="column of a table that holds what is said of it; name")
    licence: Licence = "not stated"

    @property
    def label(self) -> str:
        """The source's name in its documents."""
        return self.name

    def _require_one_origin(self, unused: tuple[str, ...]) -> None:
        """Raise ValueError unless it has paths or a collection, and for keys that do nothing."""
        if bool(self.paths) == bool(self.collection):
            raise ValueError(
                f"paths={list(self.paths)} and collection={self.collection!r}: a source of {self.MEDIUM}s has one of them, not both"
            )
        for key in unused:
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key}={getattr(self, key)} does nothing with collection={self.collection!r}; leave it out")


class PicturesSource(CaptionedSource, frozen=True, extra="forbid", defer_build=True):
    """Pictures among words: with captions beside them, or where Markdown and HTML pages and EPUB books show them."""

    MEDIUM: ClassVar[str] = PICTURE
    formats: ClassVar[tuple[str, ...]] = (PICTURE, "md", "html", "epub", "txt", "csv", "jsonl", "parquet")

    kind: Literal["pictures"] = Field("pictures", description="pictures with captions, and pages that show pictures")
    name: str = Field("pictures", pattern=NAME + "+$", description="source name, part of its documents' ids; no slash")
    paths: tuple[str, ...] = Field(
        (),
        json_schema_extra=NOT_IDENTITY,
        description="folders, files or globs, relative to the recipe's root: pictures (PNG, JPEG, GIF, WebP, BMP, TIFF, PNM), pages (md, "
        "html) that show them by relative path, books (epub) that hold them, and captions: a text file of a picture's name, or tables "
        "(csv, tsv, jsonl, parquet)",
    )
    collection: Literal["", "digits", "universe", "walks"] = Field(
        "",
        description="pictures that need no files, in place of paths. digits: scikit-learn's 1,797 handwritten digits; universe: drawn "
        "scenes of a generated world, with questions that only the picture answers; walks: moving ones, of who went where",
    )
    seed: int = Field(7, ge=0, description="seed of the world that drawn scenes show, and of the scenes; integer")
    scenes: int = Field(2000, ge=10, le=100_000, description="scenes that are drawn for universe or walks; count")
    frames: int = Field(
        1,
        ge=1,
        le=256,
        description="frames that are read of a moving picture (GIF, WebP, PNG, TIFF); further ones are set aside; count",
    )
    max_megapixels: int = Field(16, ge=1, le=256, description="set aside a larger picture, before it is decoded; millions of pixels")

    @property
    def moves(self) -> bool:
        """Whether its pictures may have several frames."""
        return self.frames > 1 or self.collection == "walks"

    @model_validator(mode="after")
    def _reads_one_thing(self) -> Self:
        drawn = self.collection in ("universe", "walks")
        self._require_one_origin((*(() if drawn else ("seed", "scenes")), *(("frames",) if self.collection else ())))
        return self


class SoundsSource(CaptionedSource, frozen=True, extra="forbid", defer_build=True):
    """Sounds with what is said in them."""

    MEDIUM: ClassVar[str] = SOUND
    formats: ClassVar[tuple[str, ...]] = (SOUND, "txt", "csv", "jsonl", "parquet")

    kind: Literal["sounds"] = Field("sounds", description="sounds with transcripts")
    name: str = Field("sounds", pattern=NAME + "+$", description="source name, part of its documents' ids; no slash")
    paths: tuple[str, ...] = Field(
        (),
        json_schema_extra=NOT_IDENTITY,
        description="folders, files or globs, relative to the recipe's root: sounds (WAV, FLAC, OGG), which the extra `sound` reads, and "
        "transcripts: a text file of a sound's name, or tables (csv, tsv, jsonl, parquet)",
    )
    collection: Literal["", "spoken"] = Field(
        "", description="sounds that need no files, in place of paths. spoken: sentences of a small world, said by a formant synthesizer"
    )
    seed: int = Field(7, ge=0, description="seed of the sentences, and of the voices that say them; integer")
    sentences: int = Field(2000, ge=10, le=10_000, description="sentences that are said, all different; count")
    max_seconds: float = Field(30.0, gt=0, le=30, description="set aside a longer sound, before it is decoded; seconds")

    @model_validator(mode="after")
    def _reads_one_thing(self) -> Self:
        self._require_one_origin(("max_seconds",) if self.collection else ("seed", "sentences"))
        return self


TextSource = FilesSource | RemoteSource | ManifestSource | PackageSource
SourceConfig = Annotated[TextSource | UniverseSource | SyntheticSource | PicturesSource | SoundsSource, Field(discriminator="kind")]


class IngestConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The sources of the corpus."""

    sources: tuple[SourceConfig, ...] = Field(min_length=1, description="where the texts come from, in the order they are read")
    max_file_megabytes: int = Field(
        256, ge=1, description="quarantine a larger document, be it a file or a record, instead of reading it; megabytes"
    )
    archive_depth: int = Field(
        2,
        ge=1,
        le=8,
        description="open archives inside archives down to this level, 1 being the outermost; deeper ones are quarantined; count",
    )
    shards: int = Field(8, ge=1, le=4096, description=SHARDS)
    without: tuple[Annotated[str, Field(pattern=r"^([0-9a-f]{16}|[0-9a-f]{64})$")], ...] = Field(
        (),
        json_schema_extra=NOT_IDENTITY,
        description="documents that are never read, by id or by the sha256 of their text, whatever their source (see folio takedown); a "
        "record that its number names is left out by its text, since numbers move; of judgements also all of a judge, by the sha256 of the "
        "name, or of an answer, by that of its text; ids and digests",
    )

    @property
    def without_texts(self) -> frozenset[str]:
        """The sha256 of texts that are never read, 64 hex digits."""
        return frozenset(one for one in self.without if len(one) == 64)

    @property
    def has_entries(self) -> bool:
        """Whether a source points at files or archives, which may hold what the recipe doesn't ask for."""
        return any(isinstance(source, TextSourceBase) or getattr(source, "paths", ()) for source in self.sources)

    @property
    def has_pictures(self) -> bool:
        """Whether documents may have pictures among their words."""
        return any(isinstance(source, CaptionedSource) for source in self.sources)

    @model_validator(mode="after")
    def _names_are_unique(self) -> IngestConfig:
        labels = [source.label for source in self.sources]
        for kind, type_ in (("universe", UniverseSource), ("synthetic", SyntheticSource)):
            if sum(isinstance(source, type_) for source in self.sources) > 1:
                raise ValueError(f"sources: two are of kind {kind}; a corpus can hold one")
        if repeated := next((label for label in labels if labels.count(label) > 1), None):
            raise ValueError(f"sources: two are called {repeated!r}; give each a `name` of its own, since it is part of the documents' ids")
        return self


ConversationFormat = Literal["jsonl", "csv", "parquet"]
CONVERSATION_FORMATS: tuple[ConversationFormat, ...] = ("jsonl", "csv", "parquet")
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
    """The keys of conversations, in place of a text's field, title and parts."""

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
    formats: ConversationFormats = CONVERSATION_FORMATS


class ConversationRemote(ConversationSourceBase, RemoteSource, hide_input_in_errors=True):
    """One file or archive of conversations at a URL, fetched once."""

    text_field: ClassVar[str] = ""  # type: ignore[misc]
    title_field: ClassVar[None] = None  # type: ignore[misc]
    join: ClassVar[None] = None  # type: ignore[misc]

    formats: ConversationFormats = CONVERSATION_FORMATS


class ConversationManifest(ConversationSourceBase, ManifestSource):
    """Files and archives of conversations at URLs that a list names, each fetched once."""

    text_field: ClassVar[str] = ""  # type: ignore[misc]
    title_field: ClassVar[None] = None  # type: ignore[misc]
    join: ClassVar[None] = None  # type: ignore[misc]

    formats: ConversationFormats = CONVERSATION_FORMATS


class ConversationPackage(ConversationSourceBase, PackageSource):
    """Conversations inside a package on pip's index. The archive is read, never installed."""

    text_field: ClassVar[str] = ""  # type: ignore[misc]
    title_field: ClassVar[None] = None  # type: ignore[misc]
    join: ClassVar[None] = None  # type: ignore[misc]

    include: tuple[str, ...] = Field(
        ("*.jsonl", "*.parquet"), min_length=1, description="globs over paths inside the archive; * also crosses folders"
    )
    formats: ConversationFormats = CONVERSATION_FORMATS


JUDGED = "judged.jsonl"  # what judgements come to: a file of conversations, pairs and labelled answers


class JudgementSource(ConversationSourceBase):
    """Judgements of people on answers: preference pairs, labelled answers, and conversations with ideal or corrected answers."""

    shape: ClassVar[RecordShape] = "auto"  # type: ignore[misc]
    formats: ClassVar[ConversationFormats] = ("jsonl",)
    encoding: ClassVar[str] = "utf-8"
    id_field: ClassVar[str] = "id"

    kind: Literal["judgements"] = Field("judgements", description="judgements of people on answers")
    name: str = Field("judgements", pattern=NAME + "+$", description="source name, part of its examples' ids; no slash")
    folder: str = Field(
        "",
        json_schema_extra=NOT_IDENTITY,
        description="folder of their journal, relative to the recipe's root; empty: the one in folio's home, which its page writes; path",
    )
    licence: Licence = "not stated"

    @property
    def label(self) -> str:
        """The source's name in its documents."""
        return self.name


ConversationSource = Annotated[
    ConversationFiles | ConversationRemote | ConversationManifest | ConversationPackage | JudgementSource, Field(discriminator="kind")
]


class ConversationIngest(IngestConfig):
    """The conversations that are read, and how: one shard, since they are records of few files."""

    sources: tuple[ConversationSource, ...] = Field(  # type: ignore[assignment]  # a source of judgements is none of texts
        min_length=1, description="where the conversations come from"
    )
    max_file_megabytes: int = Field(8, ge=1, description="quarantine a larger conversation instead of reading it; megabytes")
    shards: int = Field(1, ge=1, le=1, description="how many shards the conversations are read in; count")
