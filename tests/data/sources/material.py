"""Builds files of every format, compression and archive for the tests."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

SENTENCES = (
    "The lighthouse on the western cape was lit for the first time in the autumn of that year, {0}.",
    "Nobody in the village remembered who had built it, {0}, or why its door faced the sea.",
    "Every evening the keeper climbed one hundred and forty steps and counted them aloud, {0}.",
    "When the storm came, {0}, the whole coast could see how steadily the light turned.",
)


def prose(name: str) -> str:
    """Return four paragraphs that are different for every name."""
    return "\n\n".join(sentence.format(name) for sentence in SENTENCES)


def page(name: str, head: str = "", *, web: bool = False) -> str:
    """Return a page whose text is `prose(name)`; of the web, one whose main text that is."""
    paragraphs = "".join(f"<p>{paragraph}</p>" for paragraph in prose(name).split("\n\n"))
    links = "".join(f'<li><a href="/{k}">Link {k}</a></li>' for k in range(9))
    return (
        f"<!DOCTYPE html><html><head>{head}<title>The tale of {name}</title><script>var x = 1;</script></head><body>"
        + (f"<nav><ul>{links}</ul></nav>" if web else "")
        + f"<article>{paragraphs}</article>{'<footer>All rights reserved</footer>' if web else ''}</body></html>"
    )


def pdf(pages: Sequence[str], trailer: str = "") -> bytes:
    """Return a PDF of ASCII pages; an empty page has no text layer."""
    kids = " ".join(f"{4 + 2 * k} 0 R" for k in range(len(pages)))
    parts = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, text in enumerate(pages):
        lines = "".join(f"({line}) Tj 0 -14 Td " for line in text.split("\n")) if text else ""
        stream = f"BT /F1 10 Tf 40 780 Td {lines}ET" if text else "0 0 100 100 re f"
        parts.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 900 800] /Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * number} 0 R >>"
        )
        parts.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    out, offsets = "%PDF-1.4\n", []
    for number, part in enumerate(parts, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{part}\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(parts) + 1
    end = f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R {trailer} >>\nstartxref\n{len(out)}\n%%EOF\n"
    return (out + end).encode("latin-1")


def locked_pdf() -> bytes:
    """Return a PDF that needs a password."""
    key = "41" * 32
    return pdf(["Locked."], f"/ID [<{key}> <{key}>] /Encrypt << /Filter /Standard /V 1 /R 2 /O <{key}> /U <{key}> /P -4 >>")


CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile full-path="OPS/p.opf"/></rootfiles>'
    "</container>"
)


def epub(chapters: Mapping[str, str], title: str = "The tale", more: Mapping[str, str] | None = None, doctype: str = "") -> bytes:
    """Return an EPUB of XHTML chapters and a table of contents. `more`: members to add or replace."""
    items = "".join(f'<item id="{k}" href="{k}.xhtml" media-type="application/xhtml+xml"/>' for k in chapters)
    spine = "".join(f'<itemref idref="{k}"/>' for k in ("nav", *chapters))
    members = {
        "META-INF/container.xml": CONTAINER,
        "OPS/p.opf": f'{doctype}<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata><dc:title>{title}'
        '</dc:title></metadata><manifest><item id="nav" href="nav.xhtml" properties="nav" media-type="application/xhtml+xml"/>'
        f"{items}</manifest><spine>{spine}</spine></package>",
        "OPS/nav.xhtml": "<html><body><nav>Contents</nav></body></html>",
    }
    members |= {f"OPS/{k}.xhtml": text for k, text in chapters.items()} | dict(more or {})
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr(zipfile.ZipInfo("mimetype"), "application/epub+zip")
        for name, text in members.items():
            book.writestr(name, text)
    return out.getvalue()


def chapter(text: str) -> str:
    """Return a page of an EPUB."""
    body = "".join(f"<p>{paragraph}</p>" for paragraph in text.split("\n\n"))
    return (
        f'<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head><body>{body}</body></html>'
    )


def jsonl(rows: Iterable[object]) -> bytes:
    """Return JSON Lines."""
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()


def separated(rows: Sequence[Mapping[str, object]], delimiter: str = ",") -> bytes:
    """Return CSV with a header."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def table(rows: Sequence[Mapping[str, object]], group: int = 3) -> bytes:
    """Return Parquet in row groups of `group` rows."""
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), out, row_group_size=group)
    return out.getvalue()


def warc(responses: Sequence[tuple[str, bytes]], status: str = "200 OK") -> bytes:
    """Return a WARC of responses (content type, body), each after its request."""
    out = io.BytesIO()
    writer = WARCWriter(out, gzip=False)

    def write(number: int, kind: str, body: bytes, headers: StatusAndHeaders) -> None:
        fixed = {"WARC-Record-ID": f"<urn:uuid:{kind}-{number}>", "WARC-Date": "2020-01-01T00:00:00Z"}
        address = f"http://example.org/{number}"
        writer.write_record(
            writer.create_warc_record(address, kind, payload=io.BytesIO(body), http_headers=headers, warc_headers_dict=fixed)
        )

    for number, (kind, body) in enumerate(responses):
        write(number, "request", b"", StatusAndHeaders("GET / HTTP/1.1", [], is_http_request=True))
        write(number, "response", body, StatusAndHeaders(status, [("Content-Type", kind)], protocol="HTTP/1.1"))
    return out.getvalue()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda content: zstandard.ZstdCompressor().compress(content),
}


def zipped(members: Mapping[str, bytes]) -> bytes:
    """Return a zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def tarred(members: Mapping[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    """Return a plain tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(content) if kind == tarfile.REGTYPE else 0, kind, "/etc/passwd"
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def make_zip(path: Path, members: dict[str, bytes], change: Callable[[zipfile.ZipInfo], None] = lambda info: None) -> Path:
    """Write a zip; `change` may alter each member's info."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            change(info)
            archive.writestr(info, content)
    return path


def make_tar(path: Path, members: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> Path:
    """Write a tar.gz of members of one kind."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(content) if kind == tarfile.REGTYPE else 0, kind, "/etc/passwd"
            archive.addfile(info, io.BytesIO(content))
    return path


ARCHIVERS: dict[str, Callable[[Mapping[str, bytes]], bytes]] = {
    ".zip": zipped,
    ".tar": tarred,
    ".tar.gz": lambda members: gzip.compress(tarred(members)),
    ".tar.bz2": lambda members: bz2.compress(tarred(members)),
    ".tar.xz": lambda members: lzma.compress(tarred(members)),
    ".tar.zst": lambda members: zstandard.ZstdCompressor().compress(tarred(members)),
}
