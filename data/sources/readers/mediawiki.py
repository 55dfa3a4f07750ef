"""MediaWiki dumps (export-0.3 and later): one record per page, named by its id and titled, its markup removed by mwparserfromhell.

A page without an id is named by its number, and so is, as broken, one whose id another has. Redirects and pages outside the main namespace
(talk, templates, users) are quarantined as such, so that they are counted. The dump is read as a stream; memory holds one page, and a bit
for each id.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import IO, Any

from data.sources.decode import is_blank
from data.sources.errors import HostileArchive, Unreadable
from data.sources.readers.record import BrokenRecord, LeftOut, ReaderOptions, ReaderOutput, Record, RecordFilter, tidy_lines

# What strip_code leaves: links to files and categories, by these names and those that the dump gives them.
NAMES = ("file", "image", "category", "datei", "bild", "kategorie", "fichier", "catégorie", "archivo", "categoría")
NAMED = ("6", "14")
ID = re.compile("[0-9]{1,18}")


def read_mediawiki(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield a record for each page. Raise Unreadable where the dump is cut off or holds no page."""
    from lxml import etree

    pages, ids, left, left_out = 0, _Ids(), LeftOut(), links_to(())
    try:
        parsed = etree.iterparse(
            stream, events=("end",), tag="{*}page", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
        )
        for _, page in parsed:
            pages += 1
            if pages == 1:
                spaces = page.getroottree().iterfind("{*}siteinfo/{*}namespaces/{*}namespace")
                left_out = links_to(str(space.text or "") for space in spaces if space.get("key") in NAMED)
            if page.getroottree().docinfo.internalDTD is not None:
                raise HostileArchive("hostile mediawiki: a dump declares no document type")
            identity = _text(page, "{*}id")
            known = ids.holds(identity)
            name = identity if ID.fullmatch(identity) and not known else f"page {pages}"
            if wanted(name):
                twice = f"broken record: another page has the id {identity}, too"
                yield BrokenRecord(twice, name) if known else _page(page, name, options, left, left_out)
            page.clear()
            while page.getprevious() is not None:
                del page.getparent()[0]
    except etree.XMLSyntaxError as error:
        raise Unreadable(f"damaged mediawiki: after page {pages}: {error}") from error
    # A row for each page would double the ledger of a dump, so they are counted together, as those of a web archive are.
    yield from (row for row in left.rows() if wanted(row.name))
    if not pages:
        raise Unreadable("no text: the dump has no page")


class _Ids:
    """The ids seen so far, as bits of a few large numbers: a dump may have a hundred million."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}

    def holds(self, identity: str) -> bool:
        """Return whether an id was seen before, and remember it."""
        if not ID.fullmatch(identity):
            return False
        high, low = divmod(int(identity), 1024)
        before = self._seen.get(high, 0)
        self._seen[high] = before | 1 << low
        return bool(before >> low & 1)


def _page(page: Any, name: str, options: ReaderOptions, left: LeftOut, left_out: re.Pattern[str]) -> ReaderOutput:
    title, space = _text(page, "{*}title"), _text(page, "{*}ns")
    redirect = page.find("{*}redirect")
    if redirect is not None:
        return BrokenRecord(f"redirect: {title} leads to {redirect.get('title')}", name)
    if space not in ("", "0"):
        return BrokenRecord(f"no article: {title}, of namespace {space}", name)
    source = _text(page, "{*}revision[last()]/{*}text")
    if len(source) > options.limit:
        return BrokenRecord(f"too large: {len(source)} characters, the limit is {options.limit}", name)
    for older in page.findall("{*}revision")[:-1]:
        left.add("older revisions", _text(older, "{*}text"), f"in page {name}")
    text = plain_wikitext(source, left, f"in page {name}", left_out)
    return BrokenRecord(f"empty: {title}", name) if is_blank(text) else Record(text, name, title)


def links_to(names: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern for links to the pages of files and categories, which these names besides the usual ones begin."""
    found = "|".join(sorted({re.escape(name) for name in (*NAMES, *names) if name}))
    return re.compile(rf"\[\[\s*(?:{found})\s*:[^\[\]]*(?:\[\[[^\[\]]*\]\][^\[\]]*)*\]\]", re.IGNORECASE)


def plain_wikitext(source: str, left: LeftOut, place: str, left_out: re.Pattern[str]) -> str:
    """Return what a reader of the page sees, a table by its rows, without templates and references, which are counted."""
    import mwparserfromhell

    for found in left_out.finditer(source):
        left.add("files and categories", found[0], place)
    code = mwparserfromhell.parse(left_out.sub("", source))
    for tag in code.filter_tags(matches=lambda node: str(node.tag).lower() in ("ref", "gallery", "math", "timeline")):
        try:
            code.remove(tag)
        except ValueError:
            continue  # its parent was removed
        left.add(f"{str(tag.tag).lower()} elements", tag, place)
    for kind, nodes in (("templates", code.ifilter_templates(recursive=False)), ("comments", code.ifilter_comments())):
        for node in nodes:
            left.add(kind, node, place)
    _tables_to_rows(code)
    return tidy_lines(str(code.strip_code(normalize=True, collapse=True)).split("\n"))


def _tables_to_rows(code: Any) -> None:
    """Put a line for each row in a table's place, cells parted by bars, and its caption before them."""
    for table in code.filter_tags(recursive=False, matches=lambda node: str(node.tag).lower() == "table"):
        lines, cells = list[str](), list[str]()
        for node in _parts(table):
            name = str(getattr(node, "tag", "")).lower()
            if name == "td" and node.wiki_markup == "|" and str(node.contents).startswith("+"):
                lines.append(_cell(node.contents)[1:].strip())
                continue
            if name in ("td", "th"):
                cells.append(_cell(node.contents))
                continue
            lines, cells = [*lines, *([" | ".join(cells)] if cells else [])], []
            if name == "tr":
                lines.append(" | ".join(_cell(part.contents) if hasattr(part, "tag") else str(part).strip() for part in _parts(node)))
            else:
                lines.append(_cell(getattr(node, "contents", None)) or str(node).strip())
        lines += [" | ".join(cells)] if cells else []
        code.replace(table, "\n\n{}\n\n".format("\n".join(line for line in lines if line)))


def _parts(tag: Any) -> Iterator[Any]:
    """Yield what a table or a row holds, without blank text, and with the rows of its parts."""
    for node in tag.contents.nodes if tag.contents else ():
        if str(getattr(node, "tag", "")).lower() in ("tbody", "thead", "tfoot"):
            yield from _parts(node)
        elif str(node).strip():
            yield node


def _cell(code: Any) -> str:
    if code is None:
        return ""
    _tables_to_rows(code)
    return " ".join(str(code.strip_code(normalize=True, collapse=True)).split())


def _text(page: Any, path: str) -> str:
    found = page.find(path)
    return str(found.text or "") if found is not None else ""
