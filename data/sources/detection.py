"""Detects a file's type from its first bytes, and decides in which format to read it.

Formats, compressions and archives with a signature are recognized under any file name; formats of XML by their root element. Text
formats without one (txt, md, jsonl, csv, tex, subtitles and their like) and documents that are zips (docx, odt) are told apart by name
alone. Signatures are from RFC 1952 (gzip), RFC 8878 (zstd), the xz and bzip2 formats, APPNOTE (zip), POSIX ustar,
ISO 32000 (PDF), the EPUB container, Apache Parquet, ISO 28500 (WARC) and WHATWG MIME sniffing (HTML).
"""

from __future__ import annotations

import re
import tarfile

from data.sources.errors import Unreadable
from data.sources.formats import XML, ZIPPED, NamedType

HEAD = 4096
"""How many bytes are examined."""
COMPRESSIONS = ("gz", "zst", "bz2", "xz")
ARCHIVE_KINDS = ("zip", "tar")
# The repetitions are possessive: which comment ends where is never tried again, or many comments would take for ever.
HTML = re.compile(rb"\s*(<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*+<(!doctype\s+html|html)\b", re.IGNORECASE | re.DOTALL)
BZIP2 = re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")
XML_ROOT = re.compile(
    rb"\s*<\?xml[^>]*>\s*(?:<!--.*?-->\s*|<!DOCTYPE[^>\[]*(?:\[.*?\]\s*)?>\s*|<\?[^>]*>\s*)*+<(?:[\w.-]+:)?([\w.-]+)"
    rb"|\s*<(mediawiki|TEI|FictionBook)\b",
    re.DOTALL,
)
MAILBOX = re.compile(rb"From \S.*\d{4}\r?\n[!-9;-~]+: ")
TEXTS = frozenset({"txt", "md", "html", "jsonl", "csv", "tex", "ipynb", "subtitles", "code", "json", "mbox"})
UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


def detect_type(head: bytes) -> str:
    """Return a compression, an archive or a format; "xml" for XML of another kind, "" for text and for unknown content."""
    signatures = {b"\x1f\x8b\x08": "gz", b"\x28\xb5\x2f\xfd": "zst", b"\xfd7zXZ\x00": "xz", b"PAR1": "parquet"}
    signatures |= {b"{\\rtf": "rtf"}
    signatures |= {b"PK\x03\x04": "zip", b"PK\x05\x06": "zip", b"WARC/": "warc"}
    found = next((kind for signature, kind in signatures.items() if head.startswith(signature)), "")
    if found == "zip" and head[30:58] == b"mimetypeapplication/epub+zip":
        return "epub"
    if found:
        return found
    if BZIP2.match(head):
        return "bz2"
    if head[:1024].lstrip().startswith(b"%PDF-"):
        return "pdf"
    if _is_tar(head):
        return "tar"
    page = head.replace(b"\0", b"") if head.startswith(UTF16_BOMS) else head
    page = page.lstrip(b"\xef\xbb\xbf\xff\xfe")
    if HTML.match(page):
        return "html"
    if MAILBOX.match(page):
        return "mbox"
    root = XML_ROOT.match(page)
    if root:
        return XML.get(root[1] or root[2], "xml")
    return "xml" if page.startswith(b"<?xml") else ""


def choose_format(detected: str, by_name: NamedType, formats: tuple[str, ...]) -> str:
    """Return the format to read a file in. `detected`: its type by its bytes. Raise Unreadable if it isn't among `formats`."""
    if detected == "zip" and by_name.format in ZIPPED:
        detected = by_name.format
    if detected == "xml":
        detected = by_name.format if by_name.format in TEXTS else detected
    if detected == "mbox" and by_name.format:
        detected = by_name.format
    name_says = by_name.format or ("an archive" if by_name.archive else "")
    if not detected:
        detected = by_name.format if by_name.format in TEXTS else "txt"
        if by_name.format == "warc":
            raise Unreadable("wrong extension: warc by its name, but its bytes don't begin as a WARC record")
    if detected not in formats:
        also = f", {name_says} by its name" if name_says and name_says != detected else ""
        raise Unreadable(f"not asked for: {detected} by its bytes{also}; {detected} is not among `formats`, {', '.join(formats)}")
    return detected


def _is_tar(head: bytes) -> bool:
    if head[257:262] == b"ustar":
        return True
    try:
        # A tar from before 1988 has no signature, but its header has a checksum.
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return True
