"""Web pages and e-books (EPUB): bytes decoded; all their text, or a page's main text, found by trafilatura.

Where pictures are asked for, a mark stands in the text in a picture's place. Of a book those that its pages show are yielded first, each
once, undecoded, as long as they lie in the archive under a name of its own and come to no more bytes than a document may have.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from data.sources.archives.archive import ZIP_ERRORS, open_zipped, read_zip_member, zip_faults
from data.sources.decode import HEAD, Decoded, NotText, decode_counted, decode_labelled
from data.sources.errors import HostileArchive, Unreadable
from data.sources.formats import PICTURE, PICTURE_ENDINGS
from data.sources.readers.record import (
    BrokenRecord,
    EmbeddedFile,
    LeftOut,
    ReaderOptions,
    ReaderOutput,
    Record,
    RecordFilter,
    picture_mark,
    read_whole,
)
from data.sources.readers.tree import XHTML, ElementRoles, element_text, tree_to_text, xml_parser

DECLARED = re.compile(
    rb"""<meta[^>]{0,200}charset\s*=\s*["']?\s*([A-Za-z0-9_:.-]+)|<\?xml[^>]{0,100}encoding\s*=\s*["']([A-Za-z0-9_.-]+)""", re.IGNORECASE
)


def decode_page(content: bytes, declared: str, encoding: str) -> Decoded:
    """Decode a page. `declared`: the server's charset; `encoding`: the recipe's, which wins unless detect. Raise NotText."""
    if encoding != "detect":
        return decode_counted(content, encoding)
    declaration = DECLARED.search(content[:4096])
    own = (declaration[1] or declaration[2]).decode("ascii") if declaration else ""
    return decode_labelled(content, (declared, own))


DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")
# trafilatura marks its result up with the element names of TEI.
SAMPLE = 40  # characters of an element's end that show whether the page ends with them
MAIN_TEXT = ElementRoles(
    blocks=frozenset({"ab", "body", "code", "comments", "head", "list", "p", "quote", "table"}),
    items=frozenset({"item"}),
    rows=frozenset({"row"}),
    cells=frozenset({"cell"}),
    breaks=frozenset({"lb"}),
    kept=frozenset({"code"}),
)


# Lines of verse, as Project Gutenberg and others mark them up: a block each, with no blank line between them.
VERSE = re.compile(r"(?:^|\s)(?:verse|line|l|i\d+|indent\d*)(?:\s|$)")


def read_html(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield one record, with the page's title: all text of its body, or its main text where the options ask for that."""
    left = LeftOut()
    source, encoding, cut = decode_page(read_whole(stream, options), options.declared, options.encoding)
    left.cut(cut)
    source = DECLARATION.sub("", source, count=1).replace("\0", "")
    text, title = _main_text(source, left) if options.pages == "main" else _whole_text(source, left, options)
    if not text.strip():
        raise Unreadable("no main text: trafilatura found none" if options.pages == "main" else "no text: the page holds none")
    yield Record(text, title=title, encoding=encoding)
    yield from left.rows()


def _main_text(source: str, left: LeftOut) -> tuple[str, str]:
    from trafilatura import bare_extraction
    from trafilatura.utils import load_html

    tree = load_html(source)
    if tree is None:
        raise Unreadable("no main text: it can't be parsed as HTML")
    _join_roots(tree)
    title = element_text(tree, ".//title")
    whole = len("".join(tree_to_text(tree, XHTML).split()))
    found = bare_extraction(tree, include_comments=False, include_tables=True, with_metadata=False)
    body = getattr(found, "body", None)
    text = tree_to_text(body, MAIN_TEXT) if body is not None else ""
    left.count("outside of the main text", max(0, whole - len("".join(text.split()))), unit="characters")
    return text, title


def parse_page(source: str) -> Any:
    """Return the tree of a page. Raise Unreadable where it is none, or deeper than can be read."""
    from lxml import etree, html

    try:
        # Without `huge_tree` what lies deeper than 256 elements would be dropped in silence.
        parser = html.HTMLParser(no_network=True, huge_tree=True, encoding="utf-8")
        tree = html.document_fromstring(source.encode("utf-8", "surrogatepass"), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError) as error:
        raise Unreadable(f"no text: it can't be parsed as HTML ({error})") from error
    if any("depth" in error.message for error in parser.error_log):
        raise Unreadable("too deep: it has more than 2,048 elements inside each other, and what is deeper can't be read")
    _join_roots(tree)
    return tree


def _join_roots(tree: Any) -> None:
    """Move into a page's tree what stands before and behind it: the parser makes a root of its own of what follows `</html>`."""
    for node in list(tree.itersiblings(preceding=True)):
        tree.insert(0, node)
    for node in list(tree.itersiblings()):
        tree.append(node)


def _count_unclosed(tree: Any, source: str, left: LeftOut) -> None:
    """Count what an element of a program or of the title takes in because nothing closes it: the rest of the page."""
    end = "".join(source[-4 * SAMPLE :].split())
    for name in ("script", "style", "title"):
        last = next(iter(tree.xpath(f"(.//{name})[last()]")), None)
        taken = "".join(str(last.text or "").split()) if last is not None else ""
        if taken and end.endswith(taken[-SAMPLE:]):
            left.fault(f"damaged html: its last {name} element isn't closed, and takes in {len(taken):,} characters")


def _whole_text(source: str, left: LeftOut, options: ReaderOptions) -> tuple[str, str]:
    tree = parse_page(source)
    _count_unclosed(tree, source, left)
    if options.pictures:
        _mark_pictures(tree, picture_mark)
    for node in tree.iter("div", "p"):
        if VERSE.search(node.get("class") or ""):
            node.tag = "tr"
    for nav in tree.findall(".//nav"):
        left.add("navigation", "".join(nav.itertext()))
        nav.drop_tree()
    return tree_to_text(tree, XHTML, left), element_text(tree, ".//title")


ADDRESSES = ("src", "{http://www.w3.org/1999/xlink}href", "xlink:href", "href")


def _mark_pictures(tree: Any, mark: Callable[[str], str]) -> None:
    """Put the mark of its address where a page shows a picture; one that is framed in a drawing, as covers are, stands in front of it."""
    for image in list(tree.iter("{*}img", "{*}image")):
        shown = mark(next(filter(None, map(image.get, ADDRESSES)), ""))
        drawings = list(image.iterancestors("{*}svg"))
        if not drawings:
            image.text = shown
        elif drawings[-1].getparent() is not None:
            span = drawings[-1].makeelement("span")
            span.text = shown
            drawings[-1].addprevious(span)


CONTAINER, ENCRYPTION = "META-INF/container.xml", "META-INF/encryption.xml"
NESTED_ENTITY = re.compile(
    rb"""<!ENTITY\s+(?:%\s+)?([^\s"'>]{1,80})\s+(?:SYSTEM|PUBLIC|"[^"]*[&%](?!\#)[^"]*"|'[^']*[&%](?!\#)[^']*')""", re.VERBOSE
)
PAGES = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml", "text/x-oeb1-document")
PAGE_ROOT = re.compile(rb"<(?:[\w.-]+:)?(?:html|dtbook|body)\b", re.IGNORECASE)
# Members that hold no words of the book: the package itself, its directory of chapters, styles, programs, and what begins as no text.
NO_PAGES = (".opf", ".ncx", ".css", ".js", ".ttf", ".otf", ".woff", ".woff2", ".smil", ".pls", ".xpgt")


def read_epub(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield one record, with the package's title: the pages that the spine names, whatever their media type says of them.

    A page that is damaged or missing, and one that the spine doesn't name, is told; so is a picture, where pictures are asked for."""
    left = LeftOut()
    with open_zipped(read_whole(stream, options), "epub") as book:
        pictures = _BookPictures(book, options.limit) if options.pictures else None
        text, title = _text(book, left, pictures)
        for fault in zip_faults(book):
            left.fault(fault)
    if not text.strip():
        damaged = next((row.reason for row in left.rows() if row.reason.startswith("damaged")), "")
        raise Unreadable(damaged or "no text: its pages hold none")
    if pictures is not None:
        yield from (EmbeddedFile(PICTURE, content, name) for name, content in pictures.held.items())
        yield from (BrokenRecord(reason, name) for name, reason in pictures.faults.items())
    yield Record(text, title=title)
    yield from left.rows()


class _BookPictures:
    """The pictures that a book's pages show, by their names in its archive: those that are `held`, in order, and what is wrong with others.

    `limit`: bytes of all together."""

    def __init__(self, book: zipfile.ZipFile, limit: int) -> None:
        self.held: dict[str, bytes] = {}
        self.faults: dict[str, str] = {}
        self.encrypted: Collection[str] = ()
        self._book, self._limit, self._size = book, limit, 0
        self._marks: dict[str, str] = {}

    def mark(self, page: str, address: str) -> str:
        """Return the mark of the picture at an address in a page, its number in the order of the held ones; "" if the book holds none."""
        name = unquote(address.strip())
        try:
            parts = urlsplit(address.strip())
            if parts.scheme or parts.netloc:
                raise Unreadable("a picture elsewhere: of a book its own are read")
            name = posixpath.normpath(posixpath.join(posixpath.dirname(page), unquote(parts.path)))
            if name not in self.held:
                self._hold(name)
        except HostileArchive:
            raise
        except (Unreadable, *ZIP_ERRORS) as error:
            self.faults.setdefault(name[:LONGEST_NAME], str(error))
            return ""
        return self._marks[name]

    def _hold(self, name: str) -> None:
        if name in self.faults:
            raise Unreadable(self.faults[name])
        if name in self.encrypted:
            raise Unreadable(f"encrypted: {name}")
        content = read_zip_member(self._book, name, "epub")
        if self._size + len(content) > self._limit:
            raise Unreadable(f"too large: with it the book's pictures are {self._size + len(content)} bytes, the limit is {self._limit}")
        self._size += len(content)
        self._marks[name] = picture_mark(str(len(self.held)))
        self.held[name] = content


LONGEST_NAME = 200  # of a picture's address


def _text(book: zipfile.ZipFile, left: LeftOut, pictures: _BookPictures | None) -> tuple[str, str]:
    root = _xml(_member(book, CONTAINER)).find(".//{*}rootfile")
    if root is None or not root.get("full-path"):
        raise Unreadable(f"damaged epub: {CONTAINER} names no package")
    package_path = str(root.get("full-path"))
    package = _xml(_member(book, package_path))
    encryption = _xml(_member(book, ENCRYPTION)) if ENCRYPTION in book.namelist() else None
    encrypted = {unquote(str(ref.get("URI"))) for ref in encryption.iterfind(".//{*}CipherReference")} if encryption is not None else set()
    if pictures is not None:
        pictures.encrypted = {posixpath.normpath(name) for name in encrypted}
    items = {str(item.get("id")): item for item in package.iterfind(".//{*}manifest/{*}item")}
    pages: dict[str, str] = {}
    for reference in package.iterfind(".//{*}spine/{*}itemref"):
        item = items.get(str(reference.get("idref")))
        if item is None:
            left.fault(f"damaged epub: its spine names {reference.get('idref')!r}, which is not in it")
            continue
        item = _shown(item, items)
        name = posixpath.normpath(posixpath.join(posixpath.dirname(package_path), unquote(str(item.get("href")).partition("#")[0])))
        if name in encrypted:
            raise Unreadable(f"encrypted: {name}")
        if name in pages:
            continue
        try:
            content = _member(book, name)
            if "nav" in str(item.get("properties") or "").split():
                left.add("tables of contents", tree_to_text(_page(content), XHTML), name)
                pages[name] = ""
            elif item.get("media-type") in PAGES or PAGE_ROOT.search(content[:HEAD]):
                tree = _page(content)
                if pictures is not None:
                    _mark_pictures(tree, lambda address, name=name: pictures.mark(name, address))  # type: ignore[misc]
                pages[name] = tree_to_text(tree, XHTML, left)
        except HostileArchive:
            raise
        except (Unreadable, *ZIP_ERRORS) as error:
            reason = str(error).removeprefix("damaged epub: ")
            left.fault(f"damaged epub: {reason if name in reason else f'{name}: {reason}'}")
            pages[name] = ""
    _count_others(book, {*pages, package_path, *((*pictures.held, *pictures.faults) if pictures else ())}, left, pictures is not None)
    return "\n\n".join(filter(None, pages.values())), element_text(package, ".//{http://purl.org/dc/elements/1.1/}title")


def _shown(item: Any, items: Mapping[str, Any]) -> Any:
    """Return the item that is shown in an item's place: the first page among its fallbacks, or itself where none is a page."""
    found, seen = item, set[str]()
    while found is not None and found.get("media-type") not in PAGES:
        seen.add(str(found.get("id")))
        following = str(found.get("fallback"))
        found = items.get(following) if following not in seen else None
    return item if found is None else found


def _count_others(book: zipfile.ZipFile, known: set[str], left: LeftOut, with_pictures: bool) -> None:
    """Count the members that hold words, or pictures where those are asked for, and are in no place of the spine.

    One that can't be read is counted by its size."""
    for info in book.infolist():
        if info.filename in known or info.filename.startswith("META-INF/") or info.filename == "mimetype" or info.is_dir():
            continue
        if with_pictures and info.filename.lower().endswith(tuple(PICTURE_ENDINGS)):
            left.count("pictures that no page shows", info.file_size, info.filename)
        elif not info.filename.lower().endswith(NO_PAGES):
            try:
                content = _member(book, info.filename)
                words = tree_to_text(_page(content), XHTML) if PAGE_ROOT.search(content[:HEAD]) else decode_page(content, "", "detect").text
                left.add("members outside of the spine", words, info.filename)
            except NotText:
                continue  # a picture or a sound
            except (Unreadable, *ZIP_ERRORS):
                left.count("damaged members outside of the spine", info.file_size, info.filename)


def _member(book: zipfile.ZipFile, name: str) -> bytes:
    content = read_zip_member(book, name, "epub")
    if entity := NESTED_ENTITY.search(content):
        raise HostileArchive(f"hostile epub: {name} declares the entity {entity[1].decode('ascii', 'replace')!r} by others or by a file")
    return content


def _xml(content: bytes) -> Any:
    from lxml import etree

    try:
        return etree.fromstring(content, xml_parser())
    except etree.XMLSyntaxError as error:
        raise Unreadable(f"damaged epub: {error}") from error


def _page(content: bytes) -> Any:
    """Parse a page as XHTML, or as HTML if it isn't well-formed."""
    from lxml import etree

    try:
        return etree.fromstring(content, xml_parser())
    except etree.XMLSyntaxError:
        return parse_page(DECLARATION.sub("", decode_page(content, "", "detect").text, count=1))
