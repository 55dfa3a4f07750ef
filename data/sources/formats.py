"""Formats, and what a file's name says of its own.

Only the name counts, so the shards that a file concerns are known before a byte is read. A file of records (such as JSONL, CSV or WARC), an
archive, and a file of unknown ending, XML among them, may hold documents of every shard (see `unpack`); any other file is one document."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Literal, NamedTuple, get_args

LANGUAGES = {
    ".ada": "Ada", ".adb": "Ada", ".asm": "Assembly", ".awk": "Awk", ".bash": "Shell", ".c": "C", ".cc": "C++", ".clj": "Clojure",
    ".cpp": "C++", ".cs": "C#", ".css": "CSS", ".cu": "CUDA", ".cxx": "C++", ".d": "D", ".dart": "Dart", ".el": "Emacs Lisp",
    ".erl": "Erlang", ".ex": "Elixir", ".exs": "Elixir", ".f": "Fortran", ".f90": "Fortran", ".for": "Fortran", ".fs": "F#", ".go": "Go",
    ".groovy": "Groovy", ".h": "C", ".hpp": "C++", ".hs": "Haskell", ".java": "Java", ".jl": "Julia", ".js": "JavaScript",
    ".jsx": "JavaScript", ".kt": "Kotlin", ".lisp": "Common Lisp", ".lua": "Lua", ".m": "MATLAB", ".ml": "OCaml", ".mli": "OCaml",
    ".nim": "Nim", ".pas": "Pascal", ".php": "PHP", ".pl": "Perl", ".pm": "Perl", ".ps1": "PowerShell", ".py": "Python", ".r": "R",
    ".rb": "Ruby", ".rs": "Rust", ".scala": "Scala", ".scm": "Scheme", ".sh": "Shell", ".sql": "SQL", ".swift": "Swift", ".tcl": "Tcl",
    ".ts": "TypeScript", ".tsx": "TypeScript", ".v": "Verilog", ".vb": "Visual Basic", ".vhd": "VHDL", ".zig": "Zig",
}  # fmt: skip


def language_of(name: str) -> str:
    """Return the language of a program; "" if unknown."""
    return LANGUAGES.get(PurePosixPath(name.lower()).suffix, "")


Format = Literal[
    "txt", "md", "html", "epub", "pdf", "docx", "odt", "rtf", "tex", "ipynb", "subtitles", "fb2", "tei", "code",
    "jsonl", "json", "csv", "parquet", "warc", "mbox", "mediawiki",
]  # fmt: skip
FORMATS: tuple[Format, ...] = get_args(Format)
# What is read unless the recipe says otherwise: programs are texts only for those who ask for them.
USUAL: tuple[Format, ...] = tuple(name for name in FORMATS if name != "code")
RECORDS = frozenset({"jsonl", "json", "csv", "parquet", "warc", "mbox", "mediawiki"})  # formats with many documents in one file
FIELDED = frozenset({"jsonl", "json", "csv", "parquet"})  # formats whose records have named fields
NUMBERED = frozenset({"warc", "mbox"})  # formats whose records are named by their number alone
# Formats that say themselves how their letters are encoded.
OWN_ENCODING = frozenset({"epub", "pdf", "docx", "odt", "rtf", "fb2", "tei", "json", "parquet", "mbox", "mediawiki"})
ZIPPED = frozenset({"epub", "docx", "odt"})  # formats whose files are zips
# Formats identified by an XML file's root element.
XML = {b"mediawiki": "mediawiki", b"TEI": "tei", b"TEI.2": "tei", b"teiCorpus": "tei", b"FictionBook": "fb2"}

ENDINGS: dict[str, Format] = {
    ".txt": "txt", ".text": "txt", ".md": "md", ".markdown": "md", ".html": "html", ".htm": "html", ".xhtml": "html",
    ".epub": "epub", ".pdf": "pdf", ".docx": "docx", ".odt": "odt", ".rtf": "rtf", ".tex": "tex", ".latex": "tex", ".ipynb": "ipynb",
    ".srt": "subtitles", ".vtt": "subtitles", ".ass": "subtitles", ".ssa": "subtitles", ".fb2": "fb2", ".tei": "tei",
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet",
    ".warc": "warc", ".wet": "warc", ".mbox": "mbox", ".mediawiki": "mediawiki", **dict.fromkeys(LANGUAGES, "code"),
}  # fmt: skip
XML_ENDING = ".xml"
PICTURE = "picture"  # what a source of pictures reads besides formats of text; no recipe names it
PICTURE_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pnm", ".pbm"})
SOUND = "sound"  # what a source of sounds reads; no recipe names it
SOUND_ENDINGS = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus"})
PARTS = {PICTURE: PICTURE_ENDINGS, SOUND: SOUND_ENDINGS}
PACKED = frozenset({".gz", ".zst", ".bz2", ".xz"})
ARCHIVES = frozenset({".zip", ".tar", ".tgz", ".tbz2", ".txz", ".tzst"})


class NamedType(NamedTuple):
    """A file's type by its name. `format`: "" where the name gives none."""

    format: str
    archive: bool

    @property
    def may_hold_many(self) -> bool:
        """Whether the file may hold more than one document."""
        return self.archive or self.format in RECORDS or not self.format


def type_from_name(name: str) -> NamedType:
    """Return a file's type by its ending, in upper or lower case; an ending of compression after it is ignored."""
    ending = ending_of(name)
    return NamedType(ENDINGS.get(ending, ""), ending in ARCHIVES)


def ending_of(name: str) -> str:
    """Return a file's ending in lower case, "" for none; an ending of compression after it is ignored."""
    path = PurePosixPath(name.lower())
    return (path.with_suffix("") if path.suffix in PACKED else path).suffix


def matches_formats(name: str, formats: tuple[str, ...]) -> bool:
    """Return whether a file in a folder or archive is read for these formats; an archive may hold any."""
    if formats and formats[0] in PARTS:
        ending = PurePosixPath(name.lower()).suffix
        return ending in PARTS[formats[0]] or ENDINGS.get(ending) in formats
    by_name = type_from_name(name)
    return by_name.archive or by_name.format in formats or (ending_of(name) == XML_ENDING and not set(XML.values()).isdisjoint(formats))
