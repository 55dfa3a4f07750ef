"""EPUB (W3C EPUB 3.3, and 2): the pages of the spine in order, without the table of contents.

An EPUB is a zip of XHTML and is read with zipfile and lxml; libraries for EPUB are AGPL (EbookLib) or incomplete. Entities, DTDs and the
network stay off, the limits of archives apply, and nothing is written to disk. A book is read whole or not at all: a missing or encrypted
chapter, or a damaged package, makes it Unreadable. A page that the spine names again is read once, as the standard has it. Entities that a
page declares by other entities or files are hostile.
"""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Any
from urllib.parse import unquote

from data.sources.archives.archive import ZIP_ERRORS, read_zip_member, zip_members
from data.sources.archives.compression import refuse_bomb
from data.sources.errors import HostileArchive, Unreadable
from data.sources.readers.markup.charset import decode_page
from data.sources.readers.markup.html_page import DECLARATION
from data.sources.readers.markup.tree import XHTML, tree_to_text
from data.sources.readers.parsing.record import ReaderOptions, ReaderOutput, Record, RecordFilter, read_whole

CONTAINER, ENCRYPTION = "META-INF/container.xml", "META-INF/encryption.xml"
NESTED_ENTITY = re.compile(
    rb"""<!ENTITY\s+(?:%\s+)?([^\s"'>]{1,80})\s+(?:SYSTEM|PUBLIC|"[^"]*[&%](?!\#)[^"]*"|'[^']*[&%](?!\#)[^']*')""", re.VERBOSE
)
PAGES = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml", "text/x-oeb1-document")


def read_epub(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield one record, with the package's title."""
    content = read_whole(stream, options)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as book:
            refuse_bomb("epub", sum(member.size for member in zip_members(book)), len(content))
            text, title = _text(book)
    except (HostileArchive, Unreadable):
        raise
    except (*ZIP_ERRORS, zlib.error) as error:
        raise Unreadable(f"damaged epub: {error}") from error
    if not text.strip():
        raise Unreadable("no text: its pages hold none")
    yield Record(text, title=title)


def _text(book: zipfile.ZipFile) -> tuple[str, str]:
    root = _xml(_member(book, CONTAINER)).find(".//{*}rootfile")
    if root is None or not root.get("full-path"):
        raise Unreadable(f"damaged epub: {CONTAINER} names no package")
    package_path = str(root.get("full-path"))
    package = _xml(_member(book, package_path))
    encryption = _xml(_member(book, ENCRYPTION)) if ENCRYPTION in book.namelist() else None
    encrypted = {unquote(str(ref.get("URI"))) for ref in encryption.iterfind(".//{*}CipherReference")} if encryption is not None else set()
    items = {str(item.get("id")): item for item in package.iterfind(".//{*}manifest/{*}item")}
    pages: dict[str, str] = {}
    for reference in package.iterfind(".//{*}spine/{*}itemref"):
        item = items.get(str(reference.get("idref")))
        if item is None:
            raise Unreadable(f"damaged epub: its spine names {reference.get('idref')!r}, which is not in it")
        if item.get("media-type") not in PAGES or "nav" in str(item.get("properties") or "").split():
            continue
        name = posixpath.normpath(posixpath.join(posixpath.dirname(package_path), unquote(str(item.get("href")).partition("#")[0])))
        if name in encrypted:
            raise Unreadable(f"encrypted: {name}")
        if name not in pages:
            pages[name] = tree_to_text(_page(_member(book, name)), XHTML)
    title = package.find(".//{http://purl.org/dc/elements/1.1/}title")
    return "\n\n".join(filter(None, pages.values())), " ".join("".join(title.itertext()).split()) if title is not None else ""


def _member(book: zipfile.ZipFile, name: str) -> bytes:
    content = read_zip_member(book, name, "epub")
    if entity := NESTED_ENTITY.search(content):
        raise HostileArchive(f"hostile epub: {name} declares the entity {entity[1].decode('ascii', 'replace')!r} by others or by a file")
    return content


def _xml(content: bytes) -> Any:
    from lxml import etree

    try:
        return etree.fromstring(content, _parser())
    except etree.XMLSyntaxError as error:
        raise Unreadable(f"damaged epub: {error}") from error


def _page(content: bytes) -> Any:
    """Parse a page as XHTML, or as HTML if it isn't well-formed."""
    from lxml import etree, html

    try:
        return etree.fromstring(content, _parser())
    except etree.XMLSyntaxError:
        source, _ = decode_page(content, "", "detect")
        tree = html.document_fromstring(DECLARATION.sub("", source, count=1), parser=html.HTMLParser(no_network=True))
        return tree


def _parser() -> Any:
    from lxml import etree

    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False)
