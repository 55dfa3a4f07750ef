"""MediaWiki dumps (export-0.3 and later): one record per page, named by its id and titled, its markup removed by mwparserfromhell.

A page without an id is named by its number, and so is, as broken, one whose id another has. Redirects and pages outside the main namespace
(talk, templates, users) are quarantined as such, so that they are counted. The dump is read as a stream; memory holds one page, and a bit
for each id.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO, Any

from data.sources.decode import is_blank
from data.sources.errors import HostileArchive, Unreadable
from data.sources.readers.record import BrokenRecord, LeftOut, ReaderOptions, ReaderOutput, Record, RecordFilter, tidy_lines

# What strip_code leaves: links to files and categories, tables, and lines that only templates stood in.
LEFT_OUT = re.compile(
    r"\[\[(?:file|image|category|datei|bild|kategorie|fichier|catégorie|archivo|categoría):[^\[\]]*(?:\[\[[^\[\]]*\]\][^\[\]]*)*\]\]",
    re.IGNORECASE,
)
ID = re.compile("[0-9]{1,18}")


def read_mediawiki(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield a record for each page. Raise Unreadable where the dump is cut off or holds no page."""
    from lxml import etree

    pages, ids, left = 0, _Ids(), LeftOut()
    try:
        parsed = etree.iterparse(
            stream, events=("end",), tag="{*}page", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
        )
        for _, page in parsed:
            pages += 1
            if page.getroottree().docinfo.internalDTD is not None:
                raise HostileArchive("hostile mediawiki: a dump declares no document type")
            identity = _text(page, "{*}id")
            known = ids.holds(identity)
            name = identity if ID.fullmatch(identity) and not known else f"page {pages}"
            if wanted(name):
                twice = f"broken record: another page has the id {identity}, too"
                yield BrokenRecord(twice, name) if known else _page(page, name, options, left)
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


def _page(page: Any, name: str, options: ReaderOptions, left: LeftOut) -> ReaderOutput:
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
    text = plain_wikitext(source, left, f"in page {name}")
    return BrokenRecord(f"empty: {title}", name) if is_blank(text) else Record(text, name, title)


def plain_wikitext(source: str, left: LeftOut, place: str) -> str:
    """Return what a reader of the page sees, without templates, tables and references, which are counted."""
    import mwparserfromhell

    for found in LEFT_OUT.finditer(source):
        left.add("files and categories", found[0], place)
    code = mwparserfromhell.parse(LEFT_OUT.sub("", source))
    for tag in code.filter_tags(matches=lambda node: str(node.tag).lower() in ("ref", "table", "gallery", "math", "timeline")):
        try:
            code.remove(tag)
        except ValueError:
            continue  # its parent was removed
        left.add(f"{str(tag.tag).lower()} elements", tag, place)
    for kind, nodes in (("templates", code.ifilter_templates(recursive=False)), ("comments", code.ifilter_comments())):
        for node in nodes:
            left.add(kind, node, place)
    return tidy_lines(str(code.strip_code(normalize=True, collapse=True)).split("\n"))


def _text(page: Any, path: str) -> str:
    found = page.find(path)
    return str(found.text or "") if found is not None else ""
