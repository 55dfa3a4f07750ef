"""What a file's first bytes say it is, and whether its name lies.

Guarantees: formats, compressions and archives with a mark of their own are known by it, whatever the name; text is told from text (txt, md,
jsonl, csv) by the name alone. Sources of the marks: RFC 1952 (gzip), RFC 8878 (zstd), the xz and bzip2 formats, APPNOTE (zip), POSIX
ustar, ISO 32000 (PDF), the EPUB container, Apache Parquet, ISO 28500 (WARC), WHATWG MIME sniffing (HTML).
"""

from __future__ import annotations

import re
import tarfile

from data.sources.errors import Unreadable
from data.sources.formats import Named

HEAD = 4096
"""Bytes that are looked at."""
COMPRESSIONS = ("gz", "zst", "bz2", "xz")
ARCHIVE_KINDS = ("zip", "tar")
HTML = re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype\s+html|html)\b", re.IGNORECASE | re.DOTALL)
BZIP2 = re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")
TEXTS = frozenset({"txt", "md", "html", "jsonl", "csv"})
WIDE = (b"\xff\xfe", b"\xfe\xff")


def told_by(head: bytes) -> str:
    """gz, zst, bz2, xz, zip, tar, epub, pdf, parquet, warc or html; "" for text and for what is nothing that is known."""
    marks = {b"\x1f\x8b\x08": "gz", b"\x28\xb5\x2f\xfd": "zst", b"\xfd7zXZ\x00": "xz", b"PAR1": "parquet"}
    marks |= {b"PK\x03\x04": "zip", b"PK\x05\x06": "zip", b"WARC/": "warc"}
    found = next((kind for mark, kind in marks.items() if head.startswith(mark)), "")
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
    page = head.replace(b"\0", b"") if head.startswith(WIDE) else head
    return "html" if HTML.match(page.lstrip(b"\xef\xbb\xbf\xff\xfe")) else ""


def format_of(told: str, name: Named, formats: tuple[str, ...]) -> str:
    """The format in which a file is read. `told`: what its bytes say. Raises Unreadable, saying both, when that is not among `formats`."""
    if told == "zip" and name.format == "epub":
        told = "epub"
    by_name = name.format or ("an archive" if name.archive else "")
    if not told:
        told = name.format if name.format in TEXTS else "txt"
        if name.format == "warc":
            raise Unreadable("lying name: warc by its name, but its bytes don't begin as a WARC record")
    if told not in formats:
        said = f", {by_name} by its name" if by_name and by_name != told else ""
        raise Unreadable(f"not asked for: {told} by its bytes{said}; {told} is not among `formats`, {', '.join(formats)}")
    return told


def _is_tar(head: bytes) -> bool:
    if head[257:262] == b"ustar":
        return True
    try:
        # The checksum tells a tar without a mark, as they were before 1988.
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return True
