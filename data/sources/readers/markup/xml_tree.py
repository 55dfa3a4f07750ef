"""Parses XML as untrusted input: entities, document types and the network stay off."""

from __future__ import annotations

import re
from typing import Any

from data.sources.errors import HostileArchive, Unreadable

ENTITY = re.compile(rb"<!ENTITY")


def parse_xml(content: bytes, kind: str) -> Any:
    """Return the parsed root of a document. Raise Unreadable if it is not XML, HostileArchive if it declares entities."""
    from lxml import etree

    if ENTITY.search(content):
        raise HostileArchive(f"hostile {kind}: it declares entities")
    try:
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False)
        return etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        raise Unreadable(f"damaged {kind}: {error}") from error


def element_text(root: Any, path: str) -> str:
    """Return the text of the first element at a path on one line, "" if there is none."""
    found = root.find(path)
    return " ".join("".join(found.itertext()).split()) if found is not None else ""
