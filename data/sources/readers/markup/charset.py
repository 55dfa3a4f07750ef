"""Decodes HTML pages by, in WHATWG's order, the byte order mark, the server's charset and the page's own; else by the bytes.

A declared charset that the bytes contradict is ignored.
"""

from __future__ import annotations

import re

from data.sources.decode import BYTE_ORDER_MARKS, WIDER_CODECS, decode

DECLARED = re.compile(
    rb"""<meta[^>]{0,200}charset\s*=\s*["']?\s*([A-Za-z0-9_:.-]+)|<\?xml[^>]{0,100}encoding\s*=\s*["']([A-Za-z0-9_.-]+)""", re.IGNORECASE
)


def decode_page(content: bytes, declared: str, encoding: str) -> tuple[str, str]:
    """Return (text, encoding). `declared`: the server's charset; `encoding`: the recipe's, which wins unless detect. Raise NotText."""
    if encoding == "detect" and not content.startswith(tuple(mark for mark, _ in BYTE_ORDER_MARKS)):
        declaration = DECLARED.search(content[:4096])
        own = (declaration[1] or declaration[2]).decode("ascii") if declaration else ""
        for label in (declared, own):
            codec = WIDER_CODECS.get(label.lower(), label.lower())
            # A page whose declaration is readable as ASCII can't be UTF-16.
            if not codec or codec.startswith("utf-16"):
                continue
            try:
                return content.decode(codec), codec
            except (UnicodeError, LookupError):
                continue
    return decode(content, encoding)
